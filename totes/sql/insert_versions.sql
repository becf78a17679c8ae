-- Adds a version where the staged row differs from the latest one of its business id, or where that one was deleted.
-- In the order of the file, as a fact that is empty takes them: a replay gives the same record ids either way.
WITH added AS (
    INSERT INTO {table} ({columns})
    SELECT {staged_columns}
    FROM {staging} AS staged
    LEFT JOIN LATERAL (
        SELECT * FROM {table} AS version WHERE version.{identity} = staged.{identity} ORDER BY version.{key} DESC LIMIT 1
    ) AS latest ON true
    WHERE latest.{key} IS NULL
       OR ROW ({latest_values}) IS DISTINCT FROM ROW ({staged_values})
       OR EXISTS (SELECT FROM {log}.tombstone WHERE table_name = :fact AND record_id = latest.{key})
    ORDER BY staged.ctid
    RETURNING {key} AS record_id
)
SELECT count(*) AS inserted, min(record_id) AS first, max(record_id) AS last FROM added
