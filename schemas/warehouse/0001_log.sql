-- The warehouse's own log: which batches it has loaded, and what each of them did.

CREATE TABLE etl.batch (
    batch_id integer PRIMARY KEY,
    snapshot_at timestamptz NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    execution text NOT NULL
);
COMMENT ON TABLE etl.batch IS 'The batches that are loaded; a row is written in the transaction that loads its batch.';
COMMENT ON COLUMN etl.batch.snapshot_at IS 'The moment at which totesys was as the batch shows it.';
COMMENT ON COLUMN etl.batch.execution IS 'ARN of the Step Functions execution that loaded it.';

CREATE TABLE etl.batch_table (
    batch_id integer NOT NULL REFERENCES etl.batch,
    table_name text NOT NULL,
    rows_staged integer NOT NULL,
    rows_inserted integer NOT NULL,
    rows_updated integer NOT NULL,
    rows_deleted integer NOT NULL,
    first_record_id integer,
    last_record_id integer,
    PRIMARY KEY (batch_id, table_name)
);
COMMENT ON TABLE etl.batch_table IS 'What a batch did to a table; of a fact also the range of record ids that it brought.';
CREATE INDEX ON etl.batch_table (table_name, first_record_id);

CREATE TABLE etl.tombstone (
    table_name text NOT NULL,
    business_id integer NOT NULL,
    batch_id integer NOT NULL REFERENCES etl.batch,
    record_id integer,
    PRIMARY KEY (table_name, business_id, batch_id)
);
COMMENT ON TABLE etl.tombstone IS 'Rows that were deleted in totesys, and the batch that noticed.';
COMMENT ON COLUMN etl.tombstone.record_id IS 'The version of the fact that it ends; NULL of a dimension.';
CREATE INDEX ON etl.tombstone (table_name, record_id);
