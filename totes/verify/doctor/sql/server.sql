-- Returns a server's version and clock, whether it is a standby, and how many more connections it takes.
SELECT pg_catalog.current_setting('server_version') AS version,
       CAST(pg_catalog.current_setting('server_version_num') AS integer) AS number,
       pg_catalog.clock_timestamp() AS clock,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       CAST(pg_catalog.current_setting('max_connections') AS integer) AS connections,
       CAST(pg_catalog.current_setting('max_connections') AS integer)
           - CAST(pg_catalog.current_setting('superuser_reserved_connections') AS integer)
           - CAST(coalesce(pg_catalog.current_setting('reserved_connections', true), '0') AS integer)
           - (
               SELECT CAST(pg_catalog.count(*) AS integer)
               FROM pg_catalog.pg_stat_activity
               WHERE backend_type = 'client backend'
           ) AS room
