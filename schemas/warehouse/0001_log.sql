-- Creates the warehouse's own log: the batches that it has loaded, and the changes that each of them made.

CREATE TABLE {log}.batch (
    batch_id integer PRIMARY KEY,
    snapshot_at timestamptz NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    execution text NOT NULL
);
COMMENT ON TABLE {log}.batch IS 'The batches that are loaded; a row is written in the transaction that loads its batch.';
COMMENT ON COLUMN {log}.batch.batch_id IS 'The number that names the batch in all three places, from 1.';
COMMENT ON COLUMN {log}.batch.snapshot_at IS 'The moment at which totesys was as the batch shows it.';
COMMENT ON COLUMN {log}.batch.loaded_at IS 'When it was loaded here: towards the start of the transaction.';
COMMENT ON COLUMN {log}.batch.execution IS 'ARN of the Step Functions execution that loaded it, or the name of the replay that did.';

CREATE TABLE {log}.batch_table (
    batch_id integer NOT NULL REFERENCES {log}.batch,
    table_name text NOT NULL,
    rows_staged integer NOT NULL,
    rows_inserted integer NOT NULL,
    rows_updated integer NOT NULL,
    rows_deleted integer NOT NULL,
    first_record_id integer,
    last_record_id integer,
    PRIMARY KEY (batch_id, table_name)
);
COMMENT ON TABLE {log}.batch_table IS 'What a batch did to a table; of a fact also the range of record ids that it brought.';
COMMENT ON COLUMN {log}.batch_table.batch_id IS 'The batch.';
COMMENT ON COLUMN {log}.batch_table.table_name IS 'A table of the stars.';
COMMENT ON COLUMN {log}.batch_table.rows_staged IS 'Rows that the batch brought.';
COMMENT ON COLUMN {log}.batch_table.rows_inserted IS 'Rows of these that were new; of a fact, versions that were added.';
COMMENT ON COLUMN {log}.batch_table.rows_updated IS 'Rows of a dimension that changed.';
COMMENT ON COLUMN {log}.batch_table.rows_deleted IS 'Tombstones that were written.';
COMMENT ON COLUMN {log}.batch_table.first_record_id IS 'The lowest record id that was given out; NULL of a dimension, or where no version was added.';
COMMENT ON COLUMN {log}.batch_table.last_record_id IS 'The highest of the same.';
CREATE INDEX ON {log}.batch_table (table_name, first_record_id);

CREATE TABLE {log}.tombstone (
    table_name text NOT NULL,
    business_id integer NOT NULL,
    batch_id integer NOT NULL REFERENCES {log}.batch,
    record_id integer,
    PRIMARY KEY (table_name, business_id, batch_id)
);
COMMENT ON TABLE {log}.tombstone IS 'Rows that were deleted in totesys, and the batch that noticed.';
COMMENT ON COLUMN {log}.tombstone.table_name IS 'A fact or a dimension.';
COMMENT ON COLUMN {log}.tombstone.business_id IS 'The id that the row had in totesys.';
COMMENT ON COLUMN {log}.tombstone.batch_id IS 'The batch whose snapshot no longer showed it.';
COMMENT ON COLUMN {log}.tombstone.record_id IS 'The version of the fact that it ends; NULL of a dimension.';
CREATE INDEX ON {log}.tombstone (table_name, record_id);
