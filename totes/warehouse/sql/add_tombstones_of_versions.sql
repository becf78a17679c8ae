-- Adds a tombstone for the latest version of each fact's row that is gone.
INSERT INTO {log}.tombstone (table_name, business_id, batch_id, record_id)
SELECT {name}, gone.{identity}, {batch}, max(version.{key})
FROM {deleted} AS gone
JOIN {table} AS version ON version.{identity} = gone.{identity}
WHERE gone._batch = {batch}
GROUP BY gone.{identity}
