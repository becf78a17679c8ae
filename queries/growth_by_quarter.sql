-- Are sales growing, quarter on quarter and year on year?
--
-- Answers: per currency and calendar quarter, orders, units, revenue (units x price) and the change in
--   percent on the quarter before and on the same quarter a year before.
-- Assumes: a quarter is that of created_date in UTC; only the latest version of an order counts; the newest
--   quarter is as far as the data goes, so its change compares a part with a whole; no orders in the quarter
--   compared with, no change shown; currencies are never added up.

WITH quarterly AS (
    SELECT
        currency.currency_code,
        MAKE_DATE(calendar.year, calendar.quarter * 3 - 2, 1) AS first_day,
        COUNT(*) AS orders,
        SUM(sale.units_sold) AS units,
        SUM(sale.units_sold * sale.unit_price) AS revenue
    FROM current_sales_order AS sale
    INNER JOIN dim_date AS calendar ON calendar.date_id = sale.created_date
    INNER JOIN dim_currency AS currency ON currency.currency_id = sale.currency_id
    GROUP BY currency.currency_code, calendar.year, calendar.quarter
)

SELECT
    currency_code,
    TO_CHAR(first_day, 'YYYY "Q"Q') AS quarter,
    orders,
    units,
    revenue,
    ROUND(100 * (revenue / NULLIF(SUM(revenue) OVER quarter_before, 0) - 1), 1) AS percent_on_quarter_before,
    ROUND(100 * (revenue / NULLIF(SUM(revenue) OVER year_before, 0) - 1), 1) AS percent_on_year_before
FROM quarterly
WINDOW
    quarter_before AS (
        PARTITION BY currency_code ORDER BY first_day
        RANGE BETWEEN INTERVAL '3 months' PRECEDING AND INTERVAL '3 months' PRECEDING
    ),
    year_before AS (
        PARTITION BY currency_code ORDER BY first_day
        RANGE BETWEEN INTERVAL '1 year' PRECEDING AND INTERVAL '1 year' PRECEDING
    )
ORDER BY currency_code, first_day;
