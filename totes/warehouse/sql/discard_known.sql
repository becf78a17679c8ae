-- Deletes the staged rows that are the same as the latest version of their business id, unless that version was deleted.
-- It takes no lock for which readers must wait.
DELETE FROM {staging} AS staged
WHERE staged._batch = {batch}
  AND EXISTS (
    SELECT
    FROM (
        SELECT * FROM {table} AS version WHERE version.{identity} = staged.{identity} ORDER BY version.{key} DESC LIMIT 1
    ) AS latest
    WHERE ROW ({latest_values}) IS NOT DISTINCT FROM ROW ({staged_values})
      AND NOT EXISTS (SELECT FROM {log}.tombstone WHERE table_name = {name} AND record_id = latest.{key})
)
