INSERT INTO {log}.batch (batch_id, snapshot_at, execution) VALUES ({batch}, {moment}, {execution})
