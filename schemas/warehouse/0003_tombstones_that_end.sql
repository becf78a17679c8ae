-- Adds the end of a tombstone: a dimension's row that comes back ends it.

ALTER TABLE {log}.tombstone ADD COLUMN ended_batch_id integer REFERENCES {log}.batch;
COMMENT ON COLUMN {log}.tombstone.ended_batch_id IS 'The batch that brought a dimension''s row back; NULL while the row is deleted. NULL of a fact, whose row comes back as a new version.';

-- Ends the tombstones of rows that have come back, if the warehouse shows that: the row was deleted again, or a
-- later version of a fact refers to it. The log does not say which batch brought a row back, so the tombstone gets the
-- first later batch with any row of that table; `totes replay --swap` corrects it.
UPDATE {log}.tombstone AS tombstone
SET ended_batch_id = (
    SELECT min(brought.batch_id)
    FROM {log}.batch_table AS brought
    WHERE brought.table_name = tombstone.table_name
      AND brought.rows_staged > 0
      AND brought.batch_id > tombstone.batch_id
)
WHERE tombstone.record_id IS NULL
  AND EXISTS (
      SELECT
      FROM {log}.tombstone AS later
      WHERE later.table_name = tombstone.table_name
        AND later.business_id = tombstone.business_id
        AND later.batch_id > tombstone.batch_id
  );

DO $totes$
DECLARE
    reference record;
BEGIN
    FOR reference IN
        SELECT
            CAST(dimension.relname AS text) AS dimension,
            CAST(fact.relname AS text) AS fact,
            CAST(fact.oid AS pg_catalog.regclass) AS relation,
            referring.attname AS referring_column,
            record_id.attname AS record_id
        FROM pg_catalog.pg_constraint AS foreign_key
        JOIN pg_catalog.pg_constraint AS primary_key
            ON primary_key.conrelid = foreign_key.conrelid AND primary_key.contype = 'p'
        JOIN pg_catalog.pg_class AS dimension ON dimension.oid = foreign_key.confrelid
        JOIN pg_catalog.pg_class AS fact ON fact.oid = foreign_key.conrelid
        JOIN pg_catalog.pg_attribute AS referring
            ON referring.attrelid = fact.oid AND referring.attnum = foreign_key.conkey[1]
        JOIN pg_catalog.pg_attribute AS record_id
            ON record_id.attrelid = fact.oid AND record_id.attnum = primary_key.conkey[1]
        WHERE foreign_key.contype = 'f'
          AND foreign_key.connamespace = pg_catalog.to_regnamespace('{stars}')
          AND dimension.relname IN (SELECT table_name FROM {log}.tombstone WHERE ended_batch_id IS NULL)
    LOOP
        EXECUTE pg_catalog.format(
            $statement$
                UPDATE {log}.tombstone AS tombstone
                SET ended_batch_id = (
                    SELECT min(brought.batch_id)
                    FROM {log}.batch_table AS brought
                    WHERE brought.table_name = tombstone.table_name
                      AND brought.rows_staged > 0
                      AND brought.batch_id > tombstone.batch_id
                )
                WHERE tombstone.table_name = %L
                  AND tombstone.ended_batch_id IS NULL
                  AND EXISTS (
                      SELECT
                      FROM %s AS fact
                      WHERE fact.%I = tombstone.business_id
                        AND fact.%I > (
                            SELECT max(earlier.last_record_id)
                            FROM {log}.batch_table AS earlier
                            WHERE earlier.table_name = %L AND earlier.batch_id <= tombstone.batch_id
                        )
                  )
            $statement$,
            reference.dimension,
            reference.relation,
            reference.referring_column,
            reference.record_id,
            reference.fact
        );
    END LOOP;
END
$totes$;
