-- Ends the tombstones of a dimension's rows that have come back.
UPDATE {log}.tombstone AS tombstone
SET ended_batch_id = {batch}
FROM {staging} AS staged
WHERE staged._batch = {batch}
  AND tombstone.table_name = {name}
  AND tombstone.business_id = staged.{identity}
  AND tombstone.ended_batch_id IS NULL
