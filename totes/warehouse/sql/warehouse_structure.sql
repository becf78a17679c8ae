-- Returns all relations of the log's schema, and the stars' relations with the given names. Each has its columns in order,
-- its primary key, and the tables to which its columns refer.
SELECT namespace.nspname = :log AS in_log,
       relation.relname AS name,
       CAST(relation.relkind AS text) AS kind,
       pg_catalog.pg_has_role(relation.relowner, 'USAGE') AS owned,
       (
           SELECT CAST(pg_catalog.json_agg(pg_catalog.json_build_array(
               attribute.attname,
               pg_catalog.format_type(attribute.atttypid, attribute.atttypmod),
               attribute.attnotnull,
               CASE WHEN attribute.attidentity <> '' OR attribute.attgenerated <> '' THEN 'generated'
                    ELSE pg_catalog.pg_get_expr(given.adbin, given.adrelid) END
           ) ORDER BY attribute.attnum) AS text)
           FROM pg_catalog.pg_attribute AS attribute
           LEFT JOIN pg_catalog.pg_attrdef AS given
               ON given.adrelid = attribute.attrelid AND given.adnum = attribute.attnum
           WHERE attribute.attrelid = relation.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
       ) AS columns,
       (
           SELECT CAST(pg_catalog.json_agg(pg_catalog.json_build_array(
               attribute.attname,
               CASE held.contype WHEN 'f' THEN referenced.relname END
           )) AS text)
           FROM pg_catalog.pg_constraint AS held
           JOIN pg_catalog.pg_attribute AS attribute
               ON attribute.attrelid = held.conrelid AND attribute.attnum = held.conkey[1]
           LEFT JOIN pg_catalog.pg_class AS referenced ON referenced.oid = held.confrelid
           WHERE held.conrelid = relation.oid
             AND held.contype IN ('p', 'f')
             AND pg_catalog.cardinality(held.conkey) = 1
       ) AS keys
FROM pg_catalog.pg_class AS relation
JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
WHERE relation.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (namespace.nspname = :log OR (namespace.nspname = :stars AND relation.relname = ANY (:names)))
ORDER BY 1, 2
