-- Creates the schemas and the table of versions, which exist before the schema's first version.

CREATE SCHEMA IF NOT EXISTS {stars};
CREATE SCHEMA IF NOT EXISTS {log};

CREATE TABLE {log}.schema_version (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {log}.schema_version IS 'The versions that the schema was brought to, one after the other.';
COMMENT ON COLUMN {log}.schema_version.version IS 'Counts up from 1.';
COMMENT ON COLUMN {log}.schema_version.applied_at IS 'When the schema had it.';
