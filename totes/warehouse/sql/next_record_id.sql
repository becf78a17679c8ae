-- Returns the live warehouse's record id that follows the last one of the replay.
SELECT min({key})
FROM {live}
WHERE {key} > (SELECT coalesce(max({key}), 0) FROM {replayed})
