-- Are sales growing, quarter on quarter and year on year?
--
-- Answers: per currency and calendar quarter, orders, units and revenue (units x price), whether the
--   quarter is unfinished, and the changes in percent. One change is on the quarter before, the other on
--   the same quarter a year before.
-- Assumes: a quarter is that of created_date in UTC. Only the latest version of an order counts. A quarter
--   is unfinished until there is an order of a later quarter; the first one is, if the first order was
--   made after its first day. An unfinished quarter shows no change, and neither does one compared with
--   it: that would compare a part with a whole. If there were no orders in the quarter compared with, no
--   change is shown. Currencies are never added up.
-- Chart: bar, x=quarter, y=revenue, row=currency_code

WITH quarterly AS (
    SELECT
        currency.currency_code,
        calendar.year,
        calendar.quarter,
        MAKE_DATE(calendar.year, calendar.quarter * 3 - 2, 1) AS first_day,
        MIN(sale.created_date) AS first_order,
        COUNT(*) AS orders,
        SUM(sale.units_sold) AS units,
        SUM(sale.units_sold * sale.unit_price) AS revenue
    FROM current_sales_order AS sale
    INNER JOIN dim_date AS calendar ON calendar.date_id = sale.created_date
    INNER JOIN dim_currency AS currency ON currency.currency_id = sale.currency_id
    GROUP BY currency.currency_code, calendar.year, calendar.quarter
),

marked AS (
    SELECT
        *,
        first_day = MAX(first_day) OVER ()
        OR (first_day = MIN(first_day) OVER () AND first_day < MIN(first_order) OVER ()) AS unfinished
    FROM quarterly
),

compared AS (
    SELECT
        *,
        SUM(revenue) FILTER (WHERE NOT unfinished) OVER quarter_before AS revenue_before,
        SUM(revenue) FILTER (WHERE NOT unfinished) OVER year_before AS revenue_year_before
    FROM marked
    WINDOW
        quarter_before AS (
            PARTITION BY currency_code ORDER BY first_day
            RANGE BETWEEN INTERVAL '3 months' PRECEDING AND INTERVAL '3 months' PRECEDING
        ),
        year_before AS (
            PARTITION BY currency_code ORDER BY first_day
            RANGE BETWEEN INTERVAL '1 year' PRECEDING AND INTERVAL '1 year' PRECEDING
        )
)

SELECT
    currency_code,
    CONCAT(year, ' Q', quarter) AS quarter,
    unfinished,
    orders,
    units,
    revenue,
    CASE
        WHEN NOT unfinished THEN CAST(100 * (revenue / NULLIF(revenue_before, 0) - 1) AS numeric(38, 1))
    END AS percent_on_quarter_before,
    CASE
        WHEN NOT unfinished THEN CAST(100 * (revenue / NULLIF(revenue_year_before, 0) - 1) AS numeric(38, 1))
    END AS percent_on_year_before
FROM compared
ORDER BY currency_code, first_day;
