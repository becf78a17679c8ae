-- What is paid and what is outstanding, by age?
--
-- Answers: per kind of payment (receipts from customers, payments for purchases), currency and age of the
--   payment date in days, how many payments are paid and outstanding, and the amounts.
-- Assumes: the age is counted from payment_date to :as_of, and a later payment_date is not due. Whether a
--   payment is paid is what its latest version says, whatever :as_of is; payment_as_of(moment) knows what
--   was paid at a moment. Currencies are never added up.
-- Chart: bar, x=outstanding_amount, y=days, row=kind+currency_code
-- Parameter :as_of (optional): the day to count from, YYYY-MM-DD; when left out, the day of the newest snapshot.

WITH reference AS (
    SELECT COALESCE(CAST(:as_of AS date), MAX((snapshot_at AT TIME ZONE 'UTC')::date)) AS as_of
    FROM etl.batch
),

band (band_order, days, first_day, last_day) AS (
    VALUES
    (0, 'not due', NULL, -1),
    (1, '0-30', 0, 30),
    (2, '31-60', 31, 60),
    (3, '61-90', 61, 90),
    (4, '91-180', 91, 180),
    (5, '181-365', 181, 365),
    (6, 'over 365', 366, NULL)
)

SELECT
    reference.as_of,
    payment_type.payment_type_name AS kind,
    currency.currency_code,
    band.days,
    COUNT(*) FILTER (WHERE payment.paid) AS paid_count,
    COALESCE(SUM(payment.payment_amount) FILTER (WHERE payment.paid), 0) AS paid_amount,
    COUNT(*) FILTER (WHERE NOT payment.paid) AS outstanding_count,
    COALESCE(SUM(payment.payment_amount) FILTER (WHERE NOT payment.paid), 0) AS outstanding_amount
FROM current_payment AS payment
CROSS JOIN reference
INNER JOIN dim_payment_type AS payment_type ON payment_type.payment_type_id = payment.payment_type_id
INNER JOIN dim_currency AS currency ON currency.currency_id = payment.currency_id
INNER JOIN band
    ON
        (band.first_day IS NULL OR reference.as_of - payment.payment_date >= band.first_day)
        AND (band.last_day IS NULL OR reference.as_of - payment.payment_date <= band.last_day)
GROUP BY reference.as_of, payment_type.payment_type_name, currency.currency_code, band.band_order, band.days
ORDER BY payment_type.payment_type_name DESC, currency.currency_code, band.band_order;
