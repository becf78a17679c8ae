-- Returns a GRANT for each right that the user needs to change the warehouse and lacks.
SELECT pg_catalog.format('GRANT %s ON %s TO %I', needed.privilege, needed.object, current_user) AS statement
FROM (
    SELECT 'TEMPORARY' AS privilege, pg_catalog.format('DATABASE %I', pg_catalog.current_database()) AS object
    WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')
    UNION ALL
    SELECT 'CREATE', pg_catalog.format('DATABASE %I', pg_catalog.current_database())
    WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
    UNION ALL
    SELECT 'USAGE, CREATE', pg_catalog.format('SCHEMA %I', nspname)
    FROM pg_catalog.pg_namespace
    WHERE nspname IN (:stars, :log) AND NOT pg_catalog.has_schema_privilege(oid, 'USAGE, CREATE')
) AS needed
