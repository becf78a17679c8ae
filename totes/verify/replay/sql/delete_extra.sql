-- Deletes the live table's rows that the replay does not have.
DELETE FROM {live} AS live
WHERE NOT EXISTS (SELECT FROM {replayed} AS replayed WHERE {same_key})
