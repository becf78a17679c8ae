-- Other sessions that hold locks of this database which somebody has to wait for.
SELECT DISTINCT held.pid, activity.usename AS user_name, activity.application_name AS application
FROM pg_catalog.pg_locks AS held
JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.granted
  AND held.pid <> pg_catalog.pg_backend_pid()
  AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND (
      held.locktype = 'advisory'
      OR held.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  )
ORDER BY held.pid
