-- Adds tombstones for a dimension's rows. The rows stay, because the facts' history refers to them.
INSERT INTO {log}.tombstone (table_name, business_id, batch_id)
SELECT {name}, gone.{identity}, {batch} FROM {deleted} AS gone WHERE gone._batch = {batch}
