-- The keys of some of these rows.
SELECT {names}
FROM {replayed} AS replayed
FULL JOIN {live} AS live ON {same_key}
WHERE {kind}
ORDER BY {names}
LIMIT :shown
