-- Updates the live table's rows that differ from the replay's.
UPDATE {live} AS live
SET {assignments}
FROM {replayed} AS replayed
WHERE {same_key} AND {apart}
