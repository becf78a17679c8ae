-- Returns the other sessions of this database that may be in the way: those that hold or await a lock for which readers
-- or writers have to wait, and those that block the waiting ones by any lock. A prepared transaction holds its locks
-- without a session.
WITH strong AS (
    SELECT held.pid, held.granted, held.virtualtransaction
    FROM pg_catalog.pg_locks AS held
    WHERE held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
      AND held.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
      AND (
          held.locktype = 'advisory'
          OR held.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      )
),
in_the_way AS (
    SELECT pid FROM strong
    UNION
    SELECT pg_catalog.unnest(pg_catalog.pg_blocking_pids(strong.pid)) FROM strong WHERE NOT strong.granted
)
SELECT pg_catalog.concat('pid ', activity.pid) AS holder,
       activity.usename AS user_name,
       activity.application_name AS application
FROM in_the_way
JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = in_the_way.pid
UNION
SELECT pg_catalog.concat('prepared transaction ', prepared.gid), prepared.owner, NULL
FROM strong
JOIN pg_catalog.pg_prepared_xacts AS prepared
    ON strong.virtualtransaction = pg_catalog.concat('-1/', CAST(prepared.transaction AS text))
ORDER BY holder
