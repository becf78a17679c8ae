-- Lets record ids continue after a given one, or after the sequence's own last one if that is higher: never back.
SELECT pg_catalog.setval(sequence, greatest(CAST(:given AS bigint), pg_catalog.pg_sequence_last_value(sequence)))
FROM CAST(pg_catalog.pg_get_serial_sequence(:table, :key) AS regclass) AS sequence
