-- How much do we spend with each counterparty?
--
-- Answers: per counterparty and currency, purchase orders, items, spend (quantity x price) and the
--   counterparty's share of all spend in that currency; largest first.
-- Assumes: money is spent when it is ordered, whether paid or not. Only the latest version of a purchase
--   order counts, and deleted ones do not. Currencies are never added up.
-- Chart: bar, x=spend, y=counterparty_legal_name, row=currency_code

SELECT
    currency.currency_code,
    counterparty.counterparty_id,
    counterparty.counterparty_legal_name,
    counterparty.counterparty_legal_country,
    COUNT(*) AS purchase_orders,
    SUM(purchase.item_quantity) AS items,
    SUM(purchase.item_quantity * purchase.item_unit_price) AS spend,
    CAST(
        100 * SUM(purchase.item_quantity * purchase.item_unit_price)
        / NULLIF(SUM(SUM(purchase.item_quantity * purchase.item_unit_price)) OVER one_currency, 0)
        AS numeric(38, 1)
    ) AS percent_of_currency
FROM current_purchase_order AS purchase
INNER JOIN dim_counterparty AS counterparty ON counterparty.counterparty_id = purchase.counterparty_id
INNER JOIN dim_currency AS currency ON currency.currency_id = purchase.currency_id
GROUP BY
    currency.currency_code,
    counterparty.counterparty_id,
    counterparty.counterparty_legal_name,
    counterparty.counterparty_legal_country
WINDOW one_currency AS (PARTITION BY currency.currency_code)
ORDER BY currency.currency_code, spend DESC, counterparty.counterparty_id;
