-- Returns one row per given table of schema public: its kind, its columns, and the relations that make it up (itself, its
-- partitions, the tables that inherit from it). Each relation has a digest of everything that turns a stored row into
-- values: each column's number, name and type, a virtual column's expression, an enum's labels. A query of the parent uses
-- the parent's expression. The digest includes each label's xmin, because renaming a label locks no table: it may have had
-- another name while a batch was read. Temporary tables are left out, because only their own session can read them.
WITH RECURSIVE declared AS (
    SELECT relation.oid, relation.relname, relation.relkind
    FROM pg_catalog.pg_class AS relation
    JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE namespace.nspname = 'public'
      AND relation.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND relation.relname = ANY (:tables)
),
tree (root, relation) AS (
    SELECT oid, oid FROM declared
    UNION
    SELECT tree.root, inherits.inhrelid
    FROM tree
    JOIN pg_catalog.pg_inherits AS inherits ON inherits.inhparent = tree.relation
    -- From version 14 on, a partition whose DETACH CONCURRENTLY was interrupted is no longer read.
    WHERE NOT coalesce(CAST(pg_catalog.to_jsonb(inherits) ->> 'inhdetachpending' AS boolean), false)
)
SELECT declared.relname AS name,
       CAST(declared.relkind AS text) AS kind,
       pg_catalog.row_security_active(declared.oid) AS hides_rows,
       ARRAY(
           SELECT CAST(attribute.attname AS text)
           FROM pg_catalog.pg_index AS unique_index
           JOIN pg_catalog.pg_attribute AS attribute
               ON attribute.attrelid = declared.oid AND attribute.attnum = unique_index.indkey[0]
           WHERE unique_index.indrelid = declared.oid
             AND unique_index.indisunique
             AND unique_index.indisvalid
             AND unique_index.indnkeyatts = 1
             AND unique_index.indpred IS NULL
       ) AS unique_columns,
       (
           SELECT CAST(pg_catalog.json_agg(pg_catalog.json_build_array(
               attribute.attname,
               pg_catalog.format_type(attribute.atttypid, attribute.atttypmod),
               pg_catalog.has_column_privilege(declared.oid, attribute.attnum, 'SELECT')
           ) ORDER BY attribute.attnum) AS text)
           FROM pg_catalog.pg_attribute AS attribute
           WHERE attribute.attrelid = declared.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
       ) AS columns,
       (
           SELECT CAST(pg_catalog.json_agg(pg_catalog.json_build_array(
               CAST(relation.oid AS text),
               CAST(CAST(relation.oid AS regclass) AS text),
               relation.relkind,
               relation.relpersistence,
               method.amname,
               (
                   SELECT pg_catalog.left(pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.string_agg(pg_catalog.concat_ws(' ',
                       attribute.attname,
                       attribute.attnum,
                       attribute.atttypid,
                       (
                           SELECT pg_catalog.pg_get_expr(computed.adbin, computed.adrelid)
                           FROM pg_catalog.pg_attrdef AS computed
                           WHERE computed.adrelid = attribute.attrelid
                             AND computed.adnum = attribute.attnum
                             AND attribute.attgenerated = 'v'
                       ),
                       (
                           SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', label.oid, label.xmin, label.enumlabel), ' ' ORDER BY label.oid)
                           FROM pg_catalog.pg_enum AS label
                           WHERE label.enumtypid = attribute.atttypid
                       )
                   ), ', ' ORDER BY attribute.attnum), 'UTF8')), 'hex'), 16)
                   FROM pg_catalog.pg_attribute AS attribute
                   WHERE attribute.attrelid = relation.oid
                     AND pg_catalog.concat(declared.relname, '.', attribute.attname) = ANY (:columns)
               )
           )) AS text)
           FROM tree
           JOIN pg_catalog.pg_class AS relation ON relation.oid = tree.relation
           LEFT JOIN pg_catalog.pg_am AS method ON method.oid = relation.relam
           WHERE tree.root = declared.oid AND relation.relpersistence <> 't'
       ) AS relations
FROM declared
ORDER BY declared.relname
