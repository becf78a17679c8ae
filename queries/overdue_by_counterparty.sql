-- Which customers owe us money that is overdue?
--
-- Answers: per counterparty and currency, the overdue receipts, their amount, the earliest payment date among
--   them and how many days ago that was; largest amount first within a currency.
-- Assumes: overdue is a receipt for a sale whose payment date is before the newest snapshot's day (UTC)
--   and that is not marked paid. The back office marks payments on weekdays only, so a payment due on a
--   weekend stays here until it is marked. Currencies are never added up.
-- Chart: bar, x=overdue_amount, y=counterparty_legal_name, row=currency_code

WITH today AS (
    SELECT MAX((snapshot_at AT TIME ZONE 'UTC')::date) AS as_of
    FROM etl.batch
)

SELECT
    currency.currency_code,
    counterparty.counterparty_id,
    counterparty.counterparty_legal_name,
    COUNT(*) AS overdue_receipts,
    SUM(payment.payment_amount) AS overdue_amount,
    MIN(payment.payment_date) AS oldest_payment_date,
    MAX(today.as_of - payment.payment_date) AS oldest_days
FROM current_payment AS payment
INNER JOIN today ON today.as_of > payment.payment_date
INNER JOIN dim_payment_type AS payment_type ON payment_type.payment_type_id = payment.payment_type_id
INNER JOIN dim_counterparty AS counterparty ON counterparty.counterparty_id = payment.counterparty_id
INNER JOIN dim_currency AS currency ON currency.currency_id = payment.currency_id
WHERE NOT payment.paid AND payment_type.payment_type_name = 'SALES_RECEIPT'
GROUP BY currency.currency_code, counterparty.counterparty_id, counterparty.counterparty_legal_name
ORDER BY currency.currency_code, overdue_amount DESC, counterparty.counterparty_id;
