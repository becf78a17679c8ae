-- A tombstone ends the latest version of a fact.
INSERT INTO {log}.tombstone (table_name, business_id, batch_id, record_id)
SELECT {name}, gone.{identity}, {batch}, max(version.{key})
FROM {deleted} AS gone
JOIN {table} AS version ON version.{identity} = gone.{identity}
WHERE gone._batch = {batch}
GROUP BY gone.{identity}
