-- The last record id that a fact was given before a batch; NULL where no batch from that one on has brought any.
SELECT min(first_record_id) - 1 FROM {log}.batch_table WHERE table_name = :name AND batch_id >= :batch
