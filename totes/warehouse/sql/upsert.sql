-- Inserts new rows and updates those that differ. A row that was inserted has xmax 0.
WITH changed AS (
    INSERT INTO {table} AS present ({columns})
    SELECT {staged_columns} FROM {staging} AS staged WHERE staged._batch = {batch} ORDER BY staged.{identity}
    ON CONFLICT ({key}) DO UPDATE SET {assignments}
    WHERE ROW ({present_values}) IS DISTINCT FROM ROW ({excluded_values})
    RETURNING present.xmax = 0 AS fresh
)
SELECT
    {name} AS table_name,
    count(*) FILTER (WHERE fresh) AS inserted,
    count(*) FILTER (WHERE NOT fresh) AS updated,
    NULL AS first,
    NULL AS last
FROM changed
