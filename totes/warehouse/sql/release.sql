-- Ends the quarantine of rows that are no longer quarantined, or are quarantined for another reason now.
UPDATE {log}.quarantine AS held
SET released_batch_id = {batch}
WHERE held.table_name = {name}
  AND held.released_batch_id IS NULL
  AND NOT EXISTS (
      SELECT FROM {aside} AS aside
      WHERE aside._batch = {batch}
        AND aside.business_id = held.business_id
        AND aside.reason = held.reason
        AND CAST(aside.row AS jsonb) = held.source_row
  )
