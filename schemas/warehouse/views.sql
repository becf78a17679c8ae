-- Creates the views and functions of a fact: its current state, its history, and its state as of a batch or a moment.
-- The fact's declaration fills in {fact}, {record_id}, {business_id} and the names of views and functions, as
-- quoted identifiers. {fact_name} is the table's name as a text.

CREATE OR REPLACE VIEW {stars}.{current} AS
SELECT latest.*
FROM (
    SELECT DISTINCT ON ({business_id}) *
    FROM {stars}.{fact}
    ORDER BY {business_id}, {record_id} DESC
) AS latest
WHERE NOT EXISTS (
    SELECT FROM {log}.tombstone
    WHERE tombstone.table_name = {fact_name} AND tombstone.record_id = latest.{record_id}
);

CREATE OR REPLACE VIEW {stars}.{history} AS
SELECT
    row_number() OVER versions AS version,
    came.batch_id,
    came.snapshot_at AS valid_from,
    coalesce(went.snapshot_at, lead(came.snapshot_at) OVER versions) AS valid_to,
    tombstone.batch_id IS NOT NULL AS deleted,
    fact.*
FROM {stars}.{fact} AS fact
JOIN {log}.batch_table AS brought
    ON brought.table_name = {fact_name}
    AND fact.{record_id} BETWEEN brought.first_record_id AND brought.last_record_id
JOIN {log}.batch AS came ON came.batch_id = brought.batch_id
LEFT JOIN {log}.tombstone AS tombstone
    ON tombstone.table_name = {fact_name} AND tombstone.record_id = fact.{record_id}
LEFT JOIN {log}.batch AS went ON went.batch_id = tombstone.batch_id
WINDOW versions AS (PARTITION BY fact.{business_id} ORDER BY fact.{record_id});

CREATE OR REPLACE FUNCTION {stars}.{as_of} (batch integer) RETURNS SETOF {stars}.{fact} LANGUAGE sql STABLE AS $$
    SELECT latest.*
    FROM (
        SELECT DISTINCT ON ({business_id}) *
        FROM {stars}.{fact}
        WHERE {record_id} <= (
            SELECT max(last_record_id) FROM {log}.batch_table WHERE table_name = {fact_name} AND batch_id <= batch
        )
        ORDER BY {business_id}, {record_id} DESC
    ) AS latest
    WHERE NOT EXISTS (
        SELECT FROM {log}.tombstone
        WHERE tombstone.table_name = {fact_name}
            AND tombstone.record_id = latest.{record_id}
            AND tombstone.batch_id <= batch
    )
$$;

CREATE OR REPLACE FUNCTION {stars}.{as_of} (moment timestamptz) RETURNS SETOF {stars}.{fact} LANGUAGE sql STABLE AS $$
    SELECT * FROM {stars}.{as_of} ((SELECT max(batch_id) FROM {log}.batch WHERE snapshot_at <= moment))
$$;
