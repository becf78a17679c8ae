-- Widens the log's keys, because a key of totesys may have 64 bits.

ALTER TABLE {log}.tombstone ALTER COLUMN business_id TYPE bigint;
ALTER TABLE {log}.quarantine ALTER COLUMN business_id TYPE bigint;
