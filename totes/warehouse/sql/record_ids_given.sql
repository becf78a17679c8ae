-- Returns the first record id that each batch was given, if the ranges around it leave no doubt about it.
SELECT batch_id, table_name, first_record_id
FROM (
    SELECT
        batch_table.*,
        coalesce(lag(last_record_id) OVER batches, 0) AS last_before,
        lead(first_record_id) OVER batches AS first_after
    FROM {log}.batch_table
    WHERE first_record_id IS NOT NULL
    WINDOW batches AS (PARTITION BY table_name ORDER BY batch_id)
) AS given
WHERE last_record_id - first_record_id + 1 = rows_inserted
  AND first_record_id > last_before
  AND (first_after IS NULL OR first_after > last_record_id)
