-- Returns current rows that this transaction has added and that break a rule, and how many there are.
SELECT checked.{identity} AS business_id, count(*) OVER () AS broken
FROM {table} AS checked
WHERE checked.{key} > :since
  AND NOT EXISTS (
      SELECT FROM {table} AS later WHERE later.{identity} = checked.{identity} AND later.{key} > checked.{key}
  )
  AND NOT EXISTS (
      SELECT FROM {log}.tombstone WHERE tombstone.table_name = :name AND tombstone.record_id = checked.{key}
  )
  AND ({breaks})
ORDER BY 1
LIMIT :shown
