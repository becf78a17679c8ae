-- What does each member of staff sell?
--
-- Answers: per member of staff and currency, orders, units, revenue (units x price) and the rank by revenue
--   within the currency; best first.
-- Assumes: an order belongs to the member of staff named in its latest version, so an order that was
--   handed over counts for the new one. The department is today's. Staff without sales are not listed.
--   Currencies are never added up.
-- Chart: bar, x=revenue, y=staff_member, row=currency_code

SELECT
    currency.currency_code,
    RANK() OVER (
        PARTITION BY currency.currency_code ORDER BY SUM(sale.units_sold * sale.unit_price) DESC
    ) AS rank_in_currency,
    staff.staff_id,
    staff.first_name || ' ' || staff.last_name AS staff_member,
    staff.department_name,
    COUNT(*) AS orders,
    SUM(sale.units_sold) AS units,
    SUM(sale.units_sold * sale.unit_price) AS revenue
FROM current_sales_order AS sale
INNER JOIN dim_staff AS staff ON staff.staff_id = sale.sales_staff_id
INNER JOIN dim_currency AS currency ON currency.currency_id = sale.currency_id
GROUP BY currency.currency_code, staff.staff_id, staff.first_name, staff.last_name, staff.department_name
ORDER BY currency.currency_code, rank_in_currency, staff.staff_id;
