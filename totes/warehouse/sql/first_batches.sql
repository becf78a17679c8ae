SELECT MIN(batch_id) FILTER (WHERE execution = :ours) AS ours, MIN(batch_id) FILTER (WHERE execution = :other) AS other
FROM {log}.batch
