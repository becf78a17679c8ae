-- Puts right what differs.
UPDATE {live} AS live
SET {assignments}
FROM {replayed} AS replayed
WHERE {same_key} AND {apart}
