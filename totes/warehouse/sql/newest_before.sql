-- Returns the last record id that a fact got before a batch; NULL if neither that batch nor a later one added any.
SELECT min(first_record_id) - 1 FROM {log}.batch_table WHERE table_name = :name AND batch_id >= :batch
