-- On which days of the week are orders made, and what are they worth?
--
-- Answers: per currency and weekday of the order's creation, orders, units, revenue (units x price) and the
--   weekday's share of the currency's revenue.
-- Assumes: a weekday is that of created_date in UTC, Monday first as in ISO 8601. Revenue is counted when
--   ordered, not when paid. Only the latest version of an order counts. Currencies are never added up.
-- Chart: bar, x=revenue, y=day_name, row=currency_code

SELECT
    currency.currency_code,
    calendar.day_name,
    COUNT(*) AS orders,
    SUM(sale.units_sold) AS units,
    SUM(sale.units_sold * sale.unit_price) AS revenue,
    CAST(
        100 * SUM(sale.units_sold * sale.unit_price)
        / NULLIF(SUM(SUM(sale.units_sold * sale.unit_price)) OVER one_currency, 0) AS numeric(38, 1)
    ) AS percent_of_currency
FROM current_sales_order AS sale
INNER JOIN dim_date AS calendar ON calendar.date_id = sale.created_date
INNER JOIN dim_currency AS currency ON currency.currency_id = sale.currency_id
GROUP BY currency.currency_code, calendar.day_of_week, calendar.day_name
WINDOW one_currency AS (PARTITION BY currency.currency_code)
ORDER BY currency.currency_code, calendar.day_of_week;
