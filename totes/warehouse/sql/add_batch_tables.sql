INSERT INTO {log}.batch_table (
    batch_id, table_name, rows_staged, rows_inserted, rows_updated, rows_deleted, first_record_id, last_record_id
)
VALUES {entries}
