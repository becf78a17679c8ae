-- The lake in DuckDB, 2.0 or later. First set its place, a bucket or a folder with a copy of it:
--   SET VARIABLE lake = 's3://totes-prod-processed-123456789012';
-- The views include new batches automatically. Set the variable again in each session.

-- Each table has three views, named after it without fact_ or dim_:
--   delivered_…  every delivered row with its batch; a row may be delivered again unchanged
--   deleted_…    the deleted keys, each with the batch that deleted it
--   current_…    for a fact, the newest row of each key that is not deleted; for a dimension it is called dim_… and
--                includes deleted rows, because earlier facts refer to them
-- Written by `make docs` from schemas/warehouse. docs/lake.md explains how to use it.

CREATE OR REPLACE VIEW delivered_counterparty AS
SELECT
    CAST(counterparty_id AS int) AS counterparty_id,
    CAST(counterparty_legal_name AS string) AS counterparty_legal_name,
    CAST(counterparty_legal_address_line_1 AS string) AS counterparty_legal_address_line_1,
    CAST(counterparty_legal_address_line_2 AS string) AS counterparty_legal_address_line_2,
    CAST(counterparty_legal_district AS string) AS counterparty_legal_district,
    CAST(counterparty_legal_city AS string) AS counterparty_legal_city,
    CAST(counterparty_legal_postal_code AS string) AS counterparty_legal_postal_code,
    CAST(counterparty_legal_country AS string) AS counterparty_legal_country,
    CAST(counterparty_legal_phone_number AS string) AS counterparty_legal_phone_number,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS counterparty_id,
        CAST(NULL AS string) AS counterparty_legal_name,
        CAST(NULL AS string) AS counterparty_legal_address_line_1,
        CAST(NULL AS string) AS counterparty_legal_address_line_2,
        CAST(NULL AS string) AS counterparty_legal_district,
        CAST(NULL AS string) AS counterparty_legal_city,
        CAST(NULL AS string) AS counterparty_legal_postal_code,
        CAST(NULL AS string) AS counterparty_legal_country,
        CAST(NULL AS string) AS counterparty_legal_phone_number,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/dim_counterparty/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_counterparty AS
SELECT
    CAST(counterparty_id AS int) AS counterparty_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS counterparty_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/dim_counterparty/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW dim_counterparty AS
SELECT
    newest.counterparty_id,
    newest.counterparty_legal_name,
    newest.counterparty_legal_address_line_1,
    newest.counterparty_legal_address_line_2,
    newest.counterparty_legal_district,
    newest.counterparty_legal_city,
    newest.counterparty_legal_postal_code,
    newest.counterparty_legal_country,
    newest.counterparty_legal_phone_number
FROM (
    SELECT *, row_number() OVER (PARTITION BY counterparty_id ORDER BY batch DESC) AS age
    FROM delivered_counterparty
) AS newest
WHERE newest.age = 1;

CREATE OR REPLACE VIEW delivered_currency AS
SELECT
    CAST(currency_id AS int) AS currency_id,
    CAST(currency_code AS string) AS currency_code,
    CAST(currency_name AS string) AS currency_name,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS currency_id,
        CAST(NULL AS string) AS currency_code,
        CAST(NULL AS string) AS currency_name,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/dim_currency/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_currency AS
SELECT
    CAST(currency_id AS int) AS currency_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS currency_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/dim_currency/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW dim_currency AS
SELECT
    newest.currency_id,
    newest.currency_code,
    newest.currency_name
FROM (
    SELECT *, row_number() OVER (PARTITION BY currency_id ORDER BY batch DESC) AS age
    FROM delivered_currency
) AS newest
WHERE newest.age = 1;

CREATE OR REPLACE VIEW delivered_date AS
SELECT
    CAST(date_id AS date) AS date_id,
    CAST(year AS int) AS year,
    CAST(month AS int) AS month,
    CAST(day AS int) AS day,
    CAST(day_of_week AS int) AS day_of_week,
    CAST(day_name AS string) AS day_name,
    CAST(month_name AS string) AS month_name,
    CAST(quarter AS int) AS quarter,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS date) AS date_id,
        CAST(NULL AS int) AS year,
        CAST(NULL AS int) AS month,
        CAST(NULL AS int) AS day,
        CAST(NULL AS int) AS day_of_week,
        CAST(NULL AS string) AS day_name,
        CAST(NULL AS string) AS month_name,
        CAST(NULL AS int) AS quarter,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/dim_date/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW dim_date AS
SELECT
    newest.date_id,
    newest.year,
    newest.month,
    newest.day,
    newest.day_of_week,
    newest.day_name,
    newest.month_name,
    newest.quarter
FROM (
    SELECT *, row_number() OVER (PARTITION BY date_id ORDER BY batch DESC) AS age
    FROM delivered_date
) AS newest
WHERE newest.age = 1;

CREATE OR REPLACE VIEW delivered_design AS
SELECT
    CAST(design_id AS int) AS design_id,
    CAST(design_name AS string) AS design_name,
    CAST(file_location AS string) AS file_location,
    CAST(file_name AS string) AS file_name,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS design_id,
        CAST(NULL AS string) AS design_name,
        CAST(NULL AS string) AS file_location,
        CAST(NULL AS string) AS file_name,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/dim_design/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_design AS
SELECT
    CAST(design_id AS int) AS design_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS design_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/dim_design/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW dim_design AS
SELECT
    newest.design_id,
    newest.design_name,
    newest.file_location,
    newest.file_name
FROM (
    SELECT *, row_number() OVER (PARTITION BY design_id ORDER BY batch DESC) AS age
    FROM delivered_design
) AS newest
WHERE newest.age = 1;

CREATE OR REPLACE VIEW delivered_location AS
SELECT
    CAST(location_id AS int) AS location_id,
    CAST(address_line_1 AS string) AS address_line_1,
    CAST(address_line_2 AS string) AS address_line_2,
    CAST(district AS string) AS district,
    CAST(city AS string) AS city,
    CAST(postal_code AS string) AS postal_code,
    CAST(country AS string) AS country,
    CAST(phone AS string) AS phone,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS location_id,
        CAST(NULL AS string) AS address_line_1,
        CAST(NULL AS string) AS address_line_2,
        CAST(NULL AS string) AS district,
        CAST(NULL AS string) AS city,
        CAST(NULL AS string) AS postal_code,
        CAST(NULL AS string) AS country,
        CAST(NULL AS string) AS phone,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/dim_location/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_location AS
SELECT
    CAST(location_id AS int) AS location_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS location_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/dim_location/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW dim_location AS
SELECT
    newest.location_id,
    newest.address_line_1,
    newest.address_line_2,
    newest.district,
    newest.city,
    newest.postal_code,
    newest.country,
    newest.phone
FROM (
    SELECT *, row_number() OVER (PARTITION BY location_id ORDER BY batch DESC) AS age
    FROM delivered_location
) AS newest
WHERE newest.age = 1;

CREATE OR REPLACE VIEW delivered_payment_type AS
SELECT
    CAST(payment_type_id AS int) AS payment_type_id,
    CAST(payment_type_name AS string) AS payment_type_name,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS payment_type_id,
        CAST(NULL AS string) AS payment_type_name,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/dim_payment_type/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_payment_type AS
SELECT
    CAST(payment_type_id AS int) AS payment_type_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS payment_type_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/dim_payment_type/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW dim_payment_type AS
SELECT
    newest.payment_type_id,
    newest.payment_type_name
FROM (
    SELECT *, row_number() OVER (PARTITION BY payment_type_id ORDER BY batch DESC) AS age
    FROM delivered_payment_type
) AS newest
WHERE newest.age = 1;

CREATE OR REPLACE VIEW delivered_staff AS
SELECT
    CAST(staff_id AS int) AS staff_id,
    CAST(first_name AS string) AS first_name,
    CAST(last_name AS string) AS last_name,
    CAST(department_name AS string) AS department_name,
    CAST(location AS string) AS location,
    CAST(email_address AS string) AS email_address,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS staff_id,
        CAST(NULL AS string) AS first_name,
        CAST(NULL AS string) AS last_name,
        CAST(NULL AS string) AS department_name,
        CAST(NULL AS string) AS location,
        CAST(NULL AS string) AS email_address,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/dim_staff/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_staff AS
SELECT
    CAST(staff_id AS int) AS staff_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS staff_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/dim_staff/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW dim_staff AS
SELECT
    newest.staff_id,
    newest.first_name,
    newest.last_name,
    newest.department_name,
    newest.location,
    newest.email_address
FROM (
    SELECT *, row_number() OVER (PARTITION BY staff_id ORDER BY batch DESC) AS age
    FROM delivered_staff
) AS newest
WHERE newest.age = 1;

CREATE OR REPLACE VIEW delivered_transaction AS
SELECT
    CAST(transaction_id AS int) AS transaction_id,
    CAST(transaction_type AS string) AS transaction_type,
    CAST(sales_order_id AS int) AS sales_order_id,
    CAST(purchase_order_id AS int) AS purchase_order_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS transaction_id,
        CAST(NULL AS string) AS transaction_type,
        CAST(NULL AS int) AS sales_order_id,
        CAST(NULL AS int) AS purchase_order_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/dim_transaction/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_transaction AS
SELECT
    CAST(transaction_id AS int) AS transaction_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS transaction_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/dim_transaction/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW dim_transaction AS
SELECT
    newest.transaction_id,
    newest.transaction_type,
    newest.sales_order_id,
    newest.purchase_order_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY transaction_id ORDER BY batch DESC) AS age
    FROM delivered_transaction
) AS newest
WHERE newest.age = 1;

CREATE OR REPLACE VIEW delivered_purchase_order AS
SELECT
    CAST(purchase_order_id AS int) AS purchase_order_id,
    CAST(created_date AS date) AS created_date,
    CAST(created_time AS time) AS created_time,
    CAST(last_updated_date AS date) AS last_updated_date,
    CAST(last_updated_time AS time) AS last_updated_time,
    CAST(staff_id AS int) AS staff_id,
    CAST(counterparty_id AS int) AS counterparty_id,
    CAST(item_code AS string) AS item_code,
    CAST(item_quantity AS int) AS item_quantity,
    CAST(item_unit_price AS decimal(10,2)) AS item_unit_price,
    CAST(currency_id AS int) AS currency_id,
    CAST(agreed_delivery_date AS date) AS agreed_delivery_date,
    CAST(agreed_payment_date AS date) AS agreed_payment_date,
    CAST(agreed_delivery_location_id AS int) AS agreed_delivery_location_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS purchase_order_id,
        CAST(NULL AS date) AS created_date,
        CAST(NULL AS time) AS created_time,
        CAST(NULL AS date) AS last_updated_date,
        CAST(NULL AS time) AS last_updated_time,
        CAST(NULL AS int) AS staff_id,
        CAST(NULL AS int) AS counterparty_id,
        CAST(NULL AS string) AS item_code,
        CAST(NULL AS int) AS item_quantity,
        CAST(NULL AS decimal(10,2)) AS item_unit_price,
        CAST(NULL AS int) AS currency_id,
        CAST(NULL AS date) AS agreed_delivery_date,
        CAST(NULL AS date) AS agreed_payment_date,
        CAST(NULL AS int) AS agreed_delivery_location_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/fact_purchase_order/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_purchase_order AS
SELECT
    CAST(purchase_order_id AS int) AS purchase_order_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS purchase_order_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/fact_purchase_order/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW current_purchase_order AS
SELECT
    newest.purchase_order_id,
    newest.created_date,
    newest.created_time,
    newest.last_updated_date,
    newest.last_updated_time,
    newest.staff_id,
    newest.counterparty_id,
    newest.item_code,
    newest.item_quantity,
    newest.item_unit_price,
    newest.currency_id,
    newest.agreed_delivery_date,
    newest.agreed_payment_date,
    newest.agreed_delivery_location_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY purchase_order_id ORDER BY batch DESC) AS age
    FROM delivered_purchase_order
) AS newest
LEFT JOIN (
    SELECT purchase_order_id, max(batch) AS batch
    FROM deleted_purchase_order
    GROUP BY purchase_order_id
) AS gone ON gone.purchase_order_id = newest.purchase_order_id
WHERE newest.age = 1 AND (gone.batch IS NULL OR gone.batch < newest.batch);

CREATE OR REPLACE VIEW delivered_sales_order AS
SELECT
    CAST(sales_order_id AS int) AS sales_order_id,
    CAST(created_date AS date) AS created_date,
    CAST(created_time AS time) AS created_time,
    CAST(last_updated_date AS date) AS last_updated_date,
    CAST(last_updated_time AS time) AS last_updated_time,
    CAST(sales_staff_id AS int) AS sales_staff_id,
    CAST(counterparty_id AS int) AS counterparty_id,
    CAST(units_sold AS int) AS units_sold,
    CAST(unit_price AS decimal(10,2)) AS unit_price,
    CAST(currency_id AS int) AS currency_id,
    CAST(design_id AS int) AS design_id,
    CAST(agreed_payment_date AS date) AS agreed_payment_date,
    CAST(agreed_delivery_date AS date) AS agreed_delivery_date,
    CAST(agreed_delivery_location_id AS int) AS agreed_delivery_location_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS sales_order_id,
        CAST(NULL AS date) AS created_date,
        CAST(NULL AS time) AS created_time,
        CAST(NULL AS date) AS last_updated_date,
        CAST(NULL AS time) AS last_updated_time,
        CAST(NULL AS int) AS sales_staff_id,
        CAST(NULL AS int) AS counterparty_id,
        CAST(NULL AS int) AS units_sold,
        CAST(NULL AS decimal(10,2)) AS unit_price,
        CAST(NULL AS int) AS currency_id,
        CAST(NULL AS int) AS design_id,
        CAST(NULL AS date) AS agreed_payment_date,
        CAST(NULL AS date) AS agreed_delivery_date,
        CAST(NULL AS int) AS agreed_delivery_location_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/fact_sales_order/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_sales_order AS
SELECT
    CAST(sales_order_id AS int) AS sales_order_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS sales_order_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/fact_sales_order/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW current_sales_order AS
SELECT
    newest.sales_order_id,
    newest.created_date,
    newest.created_time,
    newest.last_updated_date,
    newest.last_updated_time,
    newest.sales_staff_id,
    newest.counterparty_id,
    newest.units_sold,
    newest.unit_price,
    newest.currency_id,
    newest.design_id,
    newest.agreed_payment_date,
    newest.agreed_delivery_date,
    newest.agreed_delivery_location_id
FROM (
    SELECT *, row_number() OVER (PARTITION BY sales_order_id ORDER BY batch DESC) AS age
    FROM delivered_sales_order
) AS newest
LEFT JOIN (
    SELECT sales_order_id, max(batch) AS batch
    FROM deleted_sales_order
    GROUP BY sales_order_id
) AS gone ON gone.sales_order_id = newest.sales_order_id
WHERE newest.age = 1 AND (gone.batch IS NULL OR gone.batch < newest.batch);

CREATE OR REPLACE VIEW delivered_payment AS
SELECT
    CAST(payment_id AS int) AS payment_id,
    CAST(created_date AS date) AS created_date,
    CAST(created_time AS time) AS created_time,
    CAST(last_updated_date AS date) AS last_updated_date,
    CAST(last_updated_time AS time) AS last_updated_time,
    CAST(transaction_id AS int) AS transaction_id,
    CAST(counterparty_id AS int) AS counterparty_id,
    CAST(payment_amount AS decimal(10,2)) AS payment_amount,
    CAST(currency_id AS int) AS currency_id,
    CAST(payment_type_id AS int) AS payment_type_id,
    CAST(paid AS boolean) AS paid,
    CAST(payment_date AS date) AS payment_date,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS payment_id,
        CAST(NULL AS date) AS created_date,
        CAST(NULL AS time) AS created_time,
        CAST(NULL AS date) AS last_updated_date,
        CAST(NULL AS time) AS last_updated_time,
        CAST(NULL AS int) AS transaction_id,
        CAST(NULL AS int) AS counterparty_id,
        CAST(NULL AS decimal(10,2)) AS payment_amount,
        CAST(NULL AS int) AS currency_id,
        CAST(NULL AS int) AS payment_type_id,
        CAST(NULL AS boolean) AS paid,
        CAST(NULL AS date) AS payment_date,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/data/fact_payment/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW deleted_payment AS
SELECT
    CAST(payment_id AS int) AS payment_id,
    CAST(batch AS int) AS batch
FROM (
    SELECT
        CAST(NULL AS int) AS payment_id,
        CAST(NULL AS int) AS batch
    WHERE false
    UNION ALL BY NAME
    SELECT * FROM read_parquet(
        getvariable('lake') || '/deleted/fact_payment/*/*.parquet',
        union_by_name = true, hive_partitioning = true, hive_types = {'batch': int}, allow_empty = true
    )
);

CREATE OR REPLACE VIEW current_payment AS
SELECT
    newest.payment_id,
    newest.created_date,
    newest.created_time,
    newest.last_updated_date,
    newest.last_updated_time,
    newest.transaction_id,
    newest.counterparty_id,
    newest.payment_amount,
    newest.currency_id,
    newest.payment_type_id,
    newest.paid,
    newest.payment_date
FROM (
    SELECT *, row_number() OVER (PARTITION BY payment_id ORDER BY batch DESC) AS age
    FROM delivered_payment
) AS newest
LEFT JOIN (
    SELECT payment_id, max(batch) AS batch
    FROM deleted_payment
    GROUP BY payment_id
) AS gone ON gone.payment_id = newest.payment_id
WHERE newest.age = 1 AND (gone.batch IS NULL OR gone.batch < newest.batch);
