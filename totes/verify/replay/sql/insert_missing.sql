-- Inserts the rows that only the replay has.
INSERT INTO {live} ({columns})
SELECT {columns}
FROM {replayed} AS replayed
WHERE NOT EXISTS (SELECT FROM {live} AS live WHERE {same_key})
