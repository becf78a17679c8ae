-- Returns the primary key, the unique constraints, and the indexes that belong to neither.
SELECT
    pg_class.relname AS index_name,
    pg_get_indexdef(indexrelid) AS index_definition,
    conname AS constraint_name,
    pg_get_constraintdef(pg_constraint.oid) AS definition
FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u')
WHERE indrelid = CAST(:table AS regclass)
ORDER BY relname
