-- Adds rows that are newly quarantined, or quarantined for another reason than before.
INSERT INTO {log}.quarantine (table_name, business_id, batch_id, reason, source_row)
SELECT {name}, aside.business_id, {batch}, aside.reason, CAST(aside.row AS jsonb)
FROM {aside} AS aside
WHERE aside._batch = {batch}
  AND NOT EXISTS (
    SELECT FROM {log}.quarantine AS held
    WHERE held.table_name = {name} AND held.business_id = aside.business_id AND held.released_batch_id IS NULL
)
