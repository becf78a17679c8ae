-- A dimension's row stays, because the history of facts refers to it; that it is gone is noted.
INSERT INTO {log}.tombstone (table_name, business_id, batch_id)
SELECT {name}, gone.{identity}, {batch} FROM {deleted} AS gone WHERE gone._batch = {batch}
