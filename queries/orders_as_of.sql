-- What was the state of all orders, sold and bought, at a given moment?
--
-- Answers: per side (sales, purchases), currency and whether the agreed delivery date had passed, orders,
--   units and value (units x price) as the warehouse knew them at the moment. For single orders: SELECT *
--   FROM sales_order_as_of(moment) or purchase_order_as_of(moment).
-- Assumes: the warehouse knows what the last snapshot at or before the moment showed, and nothing before
--   its first snapshot. Later amendments and deletions do not change the answer. The back office records
--   no actual delivery, only the agreed date. Currencies are never added up.
-- Chart: bar, x=order_value, y=side, row=agreed_delivery+currency_code
-- Parameter :moment (optional): a moment such as 2024-08-19T18:50:11Z; without a zone, UTC; when left out, that of
--   the newest snapshot. A future moment shows the last batch.
-- No rows: The warehouse knows no orders at :moment: its history begins at :first_snapshot.

WITH reference AS (
    SELECT COALESCE(CAST(:moment AS timestamptz), MAX(snapshot_at)) AS moment
    FROM etl.batch
),

orders AS (
    SELECT
        'sales' AS side,
        sale.currency_id,
        sale.agreed_delivery_date,
        sale.units_sold AS units,
        sale.units_sold * sale.unit_price AS order_value
    FROM reference
    CROSS JOIN LATERAL SALES_ORDER_AS_OF(reference.moment) AS sale
    UNION ALL
    SELECT
        'purchases' AS side,
        purchase.currency_id,
        purchase.agreed_delivery_date,
        purchase.item_quantity AS units,
        purchase.item_quantity * purchase.item_unit_price AS order_value
    FROM reference
    CROSS JOIN LATERAL PURCHASE_ORDER_AS_OF(reference.moment) AS purchase
)

SELECT
    orders.side,
    currency.currency_code,
    CASE
        WHEN orders.agreed_delivery_date < (reference.moment AT TIME ZONE 'UTC')::date THEN 'passed'
        ELSE 'ahead'
    END AS agreed_delivery,
    COUNT(*) AS orders,
    SUM(orders.units) AS units,
    SUM(orders.order_value) AS order_value
FROM orders
CROSS JOIN reference
INNER JOIN dim_currency AS currency ON currency.currency_id = orders.currency_id
GROUP BY orders.side, currency.currency_code, agreed_delivery
ORDER BY orders.side DESC, currency.currency_code, agreed_delivery;
