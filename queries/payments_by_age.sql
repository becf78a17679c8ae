-- What is paid and what is outstanding, by age?
--
-- Answers: per kind of payment (receipts from customers, payments for purchases), currency and age of the
--   payment date, how many payments are paid and outstanding, and the amounts.
-- Assumes: the age is counted in days from payment_date to :as_of; payments are in the state that the
--   warehouse knew at the end of that day (UTC), so a later payment does not change an earlier answer;
--   currencies are never added up.
-- Parameter :as_of (optional): the day to look from, YYYY-MM-DD; when left out, the day of the newest
--   snapshot.

WITH reference AS (
    SELECT
        as_of,
        (as_of + 1)::timestamp AT TIME ZONE 'UTC' - INTERVAL '1 microsecond' AS end_of_day
    FROM (
        SELECT COALESCE(CAST(:as_of AS date), MAX((snapshot_at AT TIME ZONE 'UTC')::date)) AS as_of
        FROM etl.batch
    ) AS chosen
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
    COUNT(*) FILTER (WHERE payment.paid) AS paid,
    COALESCE(SUM(payment.payment_amount) FILTER (WHERE payment.paid), 0) AS paid_amount,
    COUNT(*) FILTER (WHERE NOT payment.paid) AS outstanding,
    COALESCE(SUM(payment.payment_amount) FILTER (WHERE NOT payment.paid), 0) AS outstanding_amount
FROM reference
CROSS JOIN LATERAL PAYMENT_AS_OF(reference.end_of_day) AS payment
INNER JOIN dim_payment_type AS payment_type ON payment_type.payment_type_id = payment.payment_type_id
INNER JOIN dim_currency AS currency ON currency.currency_id = payment.currency_id
INNER JOIN band
    ON
        (band.first_day IS NULL OR reference.as_of - payment.payment_date >= band.first_day)
        AND (band.last_day IS NULL OR reference.as_of - payment.payment_date <= band.last_day)
GROUP BY reference.as_of, payment_type.payment_type_name, currency.currency_code, band.band_order, band.days
ORDER BY payment_type.payment_type_name DESC, currency.currency_code, band.band_order;
