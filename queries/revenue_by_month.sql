-- How does revenue develop from month to month?
--
-- Answers: per currency and calendar month, orders, units, revenue (units x price) and the change on the
--   calendar month before in percent.
-- Assumes: a month is that of created_date in UTC; only the latest version of an order counts; the newest
--   month is as far as the data goes, so its change compares a part with a whole; a month without orders is
--   not listed, and the month after it shows no change; currencies are never added up.

WITH monthly AS (
    SELECT
        currency.currency_code,
        MAKE_DATE(calendar.year, calendar.month, 1) AS first_day,
        COUNT(*) AS orders,
        SUM(sale.units_sold) AS units,
        SUM(sale.units_sold * sale.unit_price) AS revenue
    FROM current_sales_order AS sale
    INNER JOIN dim_date AS calendar ON calendar.date_id = sale.created_date
    INNER JOIN dim_currency AS currency ON currency.currency_id = sale.currency_id
    GROUP BY currency.currency_code, calendar.year, calendar.month
)

SELECT
    currency_code,
    TO_CHAR(first_day, 'YYYY-MM') AS month,
    orders,
    units,
    revenue,
    ROUND(100 * (revenue / NULLIF(SUM(revenue) OVER month_before, 0) - 1), 1) AS percent_on_month_before
FROM monthly
WINDOW month_before AS (
    PARTITION BY currency_code ORDER BY first_day
    RANGE BETWEEN INTERVAL '1 month' PRECEDING AND INTERVAL '1 month' PRECEDING
)
ORDER BY currency_code, first_day;
