-- Adds a version for each row of a batch that is still staged.
-- The order is the file's, as in a copy into an empty fact, so a replay gives the same record ids either way.
WITH added AS (
    INSERT INTO {table} ({columns})
    SELECT {staged_columns} FROM {staging} AS staged WHERE staged._batch = {batch} ORDER BY staged.ctid
    RETURNING {key} AS record_id
)
SELECT {name} AS table_name, count(*) AS inserted, 0 AS updated, min(record_id) AS first, max(record_id) AS last FROM added
