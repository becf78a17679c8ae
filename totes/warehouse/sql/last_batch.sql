SELECT batch_id, snapshot_at, execution FROM {log}.batch ORDER BY batch_id DESC LIMIT 1
