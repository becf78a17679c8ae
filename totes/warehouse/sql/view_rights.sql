-- Returns the privileges that roles other than the owner have on views, and whether they may grant them.
SELECT
    given.privilege_type,
    CAST(relation.oid AS regclass)::text,
    CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(CAST(given.grantee AS regrole) AS text) END,
    CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM pg_catalog.unnest(CAST(:views AS text[])) AS name
JOIN pg_catalog.pg_class AS relation ON relation.oid = pg_catalog.to_regclass(name)
CROSS JOIN pg_catalog.aclexplode(relation.relacl) AS given
WHERE given.grantee <> relation.relowner
