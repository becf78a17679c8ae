-- How does revenue develop from month to month?
--
-- Answers: per currency and calendar month, whether it is unfinished, orders, units, revenue (units x
--   price) and the change on the calendar month before in percent.
-- Assumes: a month is that of created_date in UTC. Only the latest version of an order counts. A month is
--   unfinished until there is an order of a later month; the first one is, if the first order was made
--   after its first day. An unfinished month shows no change, and neither does one compared with it: that
--   would compare a part with a whole. A month without orders is not listed, and the month after it shows
--   no change. Currencies are never added up.
-- Chart: line, x=month, y=revenue, row=currency_code

WITH monthly AS (
    SELECT
        currency.currency_code,
        MAKE_DATE(calendar.year, calendar.month, 1) AS first_day,
        MIN(sale.created_date) AS first_order,
        COUNT(*) AS orders,
        SUM(sale.units_sold) AS units,
        SUM(sale.units_sold * sale.unit_price) AS revenue
    FROM current_sales_order AS sale
    INNER JOIN dim_date AS calendar ON calendar.date_id = sale.created_date
    INNER JOIN dim_currency AS currency ON currency.currency_id = sale.currency_id
    GROUP BY currency.currency_code, calendar.year, calendar.month
),

marked AS (
    SELECT
        *,
        first_day = MAX(first_day) OVER ()
        OR (first_day = MIN(first_day) OVER () AND first_day < MIN(first_order) OVER ()) AS unfinished
    FROM monthly
),

compared AS (
    SELECT
        *,
        SUM(revenue) FILTER (WHERE NOT unfinished) OVER month_before AS revenue_before
    FROM marked
    WINDOW month_before AS (
        PARTITION BY currency_code ORDER BY first_day
        RANGE BETWEEN INTERVAL '1 month' PRECEDING AND INTERVAL '1 month' PRECEDING
    )
)

SELECT
    currency_code,
    SUBSTRING(CAST(first_day AS varchar), 1, 7) AS month,
    unfinished,
    orders,
    units,
    revenue,
    CASE
        WHEN NOT unfinished THEN CAST(100 * (revenue / NULLIF(revenue_before, 0) - 1) AS numeric(38, 1))
    END AS percent_on_month_before
FROM compared
ORDER BY currency_code, first_day;
