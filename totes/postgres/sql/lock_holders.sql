-- Returns the other sessions of this database that may have blocked a statement, after it failed to get a lock:
--   1. sessions that hold or await an advisory lock, or a lock that makes readers or writers wait;
--   2. sessions that block a waiting session of 1 by any lock;
--   3. sessions whose weak lock conflicts with the statement, on a table that the statement names, or to which a foreign
--      key in the statement refers.
-- A prepared transaction holds its locks without a session.
WITH wanted AS (
    SELECT pg_catalog.regexp_split_to_array(statement, '\W+') AS words,
           statement ~ '\m(ALTER|CREATE|DROP|ACCESS EXCLUSIVE)\M' AS for_itself,
           statement ~ '\m(INSERT|UPDATE|DELETE|FROM STDIN|FOR KEY SHARE)\M' AS to_write
    FROM (SELECT CAST(:wanted AS text) AS statement) AS refused
),
conflicting AS (
    SELECT held.pid, held.granted, held.virtualtransaction
    FROM pg_catalog.pg_locks AS held
    CROSS JOIN wanted
    LEFT JOIN pg_catalog.pg_class AS relation ON relation.oid = held.relation
    WHERE held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
      AND held.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
      AND (
          held.locktype = 'advisory'
          OR held.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
          OR (
              (wanted.for_itself OR (wanted.to_write AND held.mode IN ('RowShareLock', 'RowExclusiveLock')))
              AND (
                  CAST(relation.relname AS text) = ANY (wanted.words)
                  OR relation.oid IN (
                      SELECT confrelid FROM pg_catalog.pg_constraint WHERE CAST(conname AS text) = ANY (wanted.words)
                  )
              )
          )
      )
),
in_the_way AS (
    SELECT pid FROM conflicting
    UNION
    SELECT pg_catalog.unnest(pg_catalog.pg_blocking_pids(conflicting.pid)) FROM conflicting WHERE NOT conflicting.granted
),
holders AS (
    SELECT pg_catalog.concat('pid ', activity.pid) AS holder,
           activity.usename AS user_name,
           activity.application_name AS application,
           activity.state,
           activity.state_change AS since
    FROM in_the_way
    JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = in_the_way.pid
    UNION
    SELECT pg_catalog.concat('prepared transaction ', prepared.gid), prepared.owner, NULL, 'prepared', prepared.prepared
    FROM conflicting
    JOIN pg_catalog.pg_prepared_xacts AS prepared
        ON conflicting.virtualtransaction = pg_catalog.concat('-1/', CAST(prepared.transaction AS text))
)
SELECT holder,
       user_name,
       application,
       state,
       pg_catalog.to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') AS since
FROM holders
ORDER BY holder
