-- The record id of the live warehouse that comes after the last one of the replay.
SELECT min({key})
FROM {live}
WHERE {key} > (SELECT coalesce(max({key}), 0) FROM {replayed})
