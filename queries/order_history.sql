-- What has happened to one sales order since it was made?
--
-- Answers: every version of the order with the span in which it held, the values that differ from the
--   version before, and the values in words. Without valid_to, it is the version that holds now.
-- Assumes: valid_from is the moment of the source snapshot that first showed the version, so it may be up
--   to one run later than the change itself. last_updated is the back office's own time, which does not
--   move when an order is amended. Names come from the dimensions as they are today.
-- Parameter :order_id (required): the sales_order_id.
-- No rows: The warehouse has never seen sales order :order_id.

WITH bookkeeping AS (
    SELECT ARRAY['version', 'batch_id', 'valid_from', 'valid_to', 'deleted', 'sales_record_id'] AS columns
),

versions AS (
    SELECT
        history.*,
        LAG(TO_JSONB(history.*)) OVER (ORDER BY history.version) AS version_before
    FROM sales_order_history AS history
    WHERE history.sales_order_id = CAST(:order_id AS integer)
)

SELECT
    versions.version,
    versions.valid_from,
    versions.valid_to,
    versions.deleted,
    (
        SELECT STRING_AGG(new_value.key, ', ' ORDER BY new_value.key)
        FROM JSONB_EACH(TO_JSONB(versions.*) - bookkeeping.columns) AS new_value
        WHERE new_value.value <> versions.version_before -> new_value.key
    ) AS changed,
    versions.created_date + versions.created_time AS created_at,
    versions.last_updated_date + versions.last_updated_time AS last_updated,
    design.design_name,
    design.design_id,
    staff.first_name || ' ' || staff.last_name AS staff_member,
    counterparty.counterparty_legal_name,
    versions.units_sold,
    versions.unit_price,
    versions.units_sold * versions.unit_price AS order_value,
    currency.currency_code,
    versions.agreed_payment_date,
    versions.agreed_delivery_date,
    location.city || ', ' || location.country AS delivery_to
FROM versions
CROSS JOIN bookkeeping
INNER JOIN dim_design AS design ON design.design_id = versions.design_id
INNER JOIN dim_staff AS staff ON staff.staff_id = versions.sales_staff_id
INNER JOIN dim_counterparty AS counterparty ON counterparty.counterparty_id = versions.counterparty_id
INNER JOIN dim_currency AS currency ON currency.currency_id = versions.currency_id
INNER JOIN dim_location AS location ON location.location_id = versions.agreed_delivery_location_id
ORDER BY versions.version;
