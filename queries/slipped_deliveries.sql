-- Which orders were promised for one day and are now agreed for a later one?
--
-- Answers: every current sales order whose agreed delivery date is later than in its first version, with both
--   dates, the days of slip and the value at stake; longest slip first.
-- Assumes: the first version is the first that the warehouse saw, so amendments before the first batch are
--   not known. The back office records no actual delivery, so this is the promise, not the performance. A
--   deleted order has no promise left.

SELECT
    current_order.sales_order_id,
    counterparty.counterparty_legal_name,
    location.country AS delivery_country,
    staff.first_name || ' ' || staff.last_name AS staff_member,
    first_version.agreed_delivery_date AS first_promise,
    current_order.agreed_delivery_date AS current_promise,
    current_order.agreed_delivery_date - first_version.agreed_delivery_date AS days_slipped,
    current_order.units_sold * current_order.unit_price AS order_value,
    currency.currency_code
FROM current_sales_order AS current_order
INNER JOIN sales_order_history AS first_version
    ON first_version.sales_order_id = current_order.sales_order_id AND first_version.version = 1
INNER JOIN dim_counterparty AS counterparty ON counterparty.counterparty_id = current_order.counterparty_id
INNER JOIN dim_location AS location ON location.location_id = current_order.agreed_delivery_location_id
INNER JOIN dim_staff AS staff ON staff.staff_id = current_order.sales_staff_id
INNER JOIN dim_currency AS currency ON currency.currency_id = current_order.currency_id
WHERE current_order.agreed_delivery_date > first_version.agreed_delivery_date
ORDER BY days_slipped DESC, current_order.sales_order_id;
