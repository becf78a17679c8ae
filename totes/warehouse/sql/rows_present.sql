-- Estimates how many rows a table has.
SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = CAST(:table AS regclass)
