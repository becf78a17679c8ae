-- Where totesys stands. The first query of the transaction: it takes the snapshot, for which the isolation is set in the
-- same round trip, where SQLAlchemy's execution options take twelve. No pooler in between can lose it so.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT (SELECT CAST(oid AS bigint) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AS database,
       CAST(CAST(pg_catalog.pg_snapshot_xmin(snapshot.taken) AS text) AS bigint) AS xmin,
       CAST(CAST(pg_catalog.pg_snapshot_xmax(snapshot.taken) AS text) AS bigint) AS xmax,
       pg_catalog.clock_timestamp() AS snapshot_at,
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
           AND pg_catalog.has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE') AS may_identify
FROM (SELECT pg_catalog.pg_current_snapshot() AS taken) AS snapshot
