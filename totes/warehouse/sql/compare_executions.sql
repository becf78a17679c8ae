SELECT
    MIN(batch_id) FILTER (WHERE execution = :ours) AS our_first,
    MIN(batch_id) FILTER (WHERE execution = :other) AS other_first,
    COALESCE(BOOL_OR(execution = :other) FILTER (WHERE batch_id = :before), false) AS other_loaded_before
FROM {log}.batch
