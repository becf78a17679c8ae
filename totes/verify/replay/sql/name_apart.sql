-- Returns the keys of the first rows of a kind.
SELECT {names}
FROM {replayed} AS replayed
FULL JOIN {live} AS live ON {same_key}
WHERE {kind}
ORDER BY {names}
LIMIT :shown
