-- What have we sold in each currency?
--
-- Answers: per currency, orders, units, revenue (units x price), the average price of a unit and the average
--   order.
-- Assumes: revenue is counted when ordered, not when paid. Only the latest version of an order counts, and
--   deleted orders do not. The warehouse has no exchange rates, so there is no total over the currencies.
-- Chart: bar, x=units, y=currency_code

SELECT
    currency.currency_code,
    currency.currency_name,
    COUNT(*) AS orders,
    SUM(sale.units_sold) AS units,
    SUM(sale.units_sold * sale.unit_price) AS revenue,
    CAST(
        SUM(sale.units_sold * sale.unit_price) / NULLIF(SUM(sale.units_sold), 0) AS numeric(38, 4)
    ) AS average_unit_price,
    CAST(SUM(sale.units_sold * sale.unit_price) / COUNT(*) AS numeric(38, 2)) AS average_order
FROM current_sales_order AS sale
INNER JOIN dim_currency AS currency ON currency.currency_id = sale.currency_id
GROUP BY currency.currency_code, currency.currency_name
ORDER BY currency.currency_code;
