-- Takes a batch's snapshot and returns where totesys stands: three statements in one round trip. They set the isolation
-- here because a pooler may drop a session's setting. They lock the tables before they take the snapshot, so that no
-- rewrite or reload can commit in between. With NOWAIT, Ingest never blocks others by waiting, and causes no deadlock.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
LOCK TABLE {tables} IN ACCESS SHARE MODE NOWAIT;
SELECT (SELECT CAST(oid AS bigint) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AS database,
       CAST(CAST(pg_catalog.pg_snapshot_xmin(snapshot.taken) AS text) AS bigint) AS xmin,
       CAST(CAST(pg_catalog.pg_snapshot_xmax(snapshot.taken) AS text) AS bigint) AS xmax,
       CAST(pg_catalog.pg_current_xact_id_if_assigned() AS text) AS own_id,
       pg_catalog.clock_timestamp() AS snapshot_at,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       ARRAY(
           SELECT name
           FROM pg_catalog.unnest(ARRAY[{functions}]) AS name
           WHERE pg_catalog.has_function_privilege(pg_catalog.to_regprocedure(name), 'EXECUTE')
       ) AS allowed
FROM (SELECT pg_catalog.pg_current_snapshot() AS taken) AS snapshot
