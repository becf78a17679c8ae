-- Creates the log of quarantined rows: rows of totesys that broke their contract, and when each was released.

CREATE TABLE {log}.quarantine (
    table_name text NOT NULL,
    business_id integer NOT NULL,
    batch_id integer NOT NULL REFERENCES {log}.batch,
    reason text NOT NULL,
    source_row jsonb NOT NULL,
    released_batch_id integer REFERENCES {log}.batch,
    PRIMARY KEY (table_name, business_id, batch_id)
);
COMMENT ON TABLE {log}.quarantine IS 'Rows of totesys that are not in the stars because they broke their contract, where its declaration says quarantine = true.';
COMMENT ON COLUMN {log}.quarantine.table_name IS 'The table of totesys.';
COMMENT ON COLUMN {log}.quarantine.business_id IS 'The row''s key in totesys.';
COMMENT ON COLUMN {log}.quarantine.batch_id IS 'The batch whose snapshot showed the row like this first.';
COMMENT ON COLUMN {log}.quarantine.reason IS 'What its contract does not allow.';
COMMENT ON COLUMN {log}.quarantine.source_row IS 'The row as it was in totesys, its values as texts.';
COMMENT ON COLUMN {log}.quarantine.released_batch_id IS 'The batch that found it right, wrong in another way, or gone; NULL while it is set aside.';
