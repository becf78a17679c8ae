-- Returns staged rows that refer to nothing, and how many there are.
SELECT staged.{identity} AS business_id, staged.{column} AS reference, count(*) OVER () AS broken
FROM {staging} AS staged
WHERE staged.{column} IS NOT NULL
  AND NOT EXISTS (SELECT FROM {referenced} AS referenced WHERE referenced.{referenced_key} = staged.{column})
ORDER BY 1
LIMIT :shown
