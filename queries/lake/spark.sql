-- The lake in Spark SQL. First set its place, a bucket or a folder with a copy of it:
--   SET lake = s3a://totes-prod-processed-123456789012;
-- After new batches, run REFRESH TABLE on each table that the session has used.

-- Each table has three views, named after it without fact_ or dim_:
--   delivered_…  every delivered row with its batch; a row may be delivered again unchanged
--   deleted_…    the deleted keys, each with the batch that deleted it
--   current_…    for a fact, the newest row of each key that is not deleted; for a dimension it is called dim_… and
--                includes deleted rows, because earlier facts refer to them
-- Written by `make docs` from schemas/warehouse. docs/lake.md explains how to use it.

CREATE TABLE IF NOT EXISTS data_dim_counterparty (
    counterparty_id int,
    counterparty_legal_name string,
    counterparty_legal_address_line_1 string,
    counterparty_legal_address_line_2 string,
    counterparty_legal_district string,
    counterparty_legal_city string,
    counterparty_legal_postal_code string,
    counterparty_legal_country string,
    counterparty_legal_phone_number string
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/dim_counterparty';

CREATE OR REPLACE VIEW delivered_counterparty AS
SELECT
    counterparty_id,
    counterparty_legal_name,
    counterparty_legal_address_line_1,
    counterparty_legal_address_line_2,
    counterparty_legal_district,
    counterparty_legal_city,
    counterparty_legal_postal_code,
    counterparty_legal_country,
    counterparty_legal_phone_number,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_dim_counterparty;

CREATE TABLE IF NOT EXISTS deleted_dim_counterparty (
    counterparty_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/dim_counterparty';

CREATE OR REPLACE VIEW deleted_counterparty AS
SELECT
    counterparty_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_dim_counterparty;

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

CREATE TABLE IF NOT EXISTS data_dim_currency (
    currency_id int,
    currency_code string,
    currency_name string
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/dim_currency';

CREATE OR REPLACE VIEW delivered_currency AS
SELECT
    currency_id,
    currency_code,
    currency_name,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_dim_currency;

CREATE TABLE IF NOT EXISTS deleted_dim_currency (
    currency_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/dim_currency';

CREATE OR REPLACE VIEW deleted_currency AS
SELECT
    currency_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_dim_currency;

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

CREATE TABLE IF NOT EXISTS data_dim_date (
    date_id date,
    year int,
    month int,
    day int,
    day_of_week int,
    day_name string,
    month_name string,
    quarter int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/dim_date';

CREATE OR REPLACE VIEW delivered_date AS
SELECT
    date_id,
    year,
    month,
    day,
    day_of_week,
    day_name,
    month_name,
    quarter,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_dim_date;

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

CREATE TABLE IF NOT EXISTS data_dim_design (
    design_id int,
    design_name string,
    file_location string,
    file_name string
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/dim_design';

CREATE OR REPLACE VIEW delivered_design AS
SELECT
    design_id,
    design_name,
    file_location,
    file_name,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_dim_design;

CREATE TABLE IF NOT EXISTS deleted_dim_design (
    design_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/dim_design';

CREATE OR REPLACE VIEW deleted_design AS
SELECT
    design_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_dim_design;

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

CREATE TABLE IF NOT EXISTS data_dim_location (
    location_id int,
    address_line_1 string,
    address_line_2 string,
    district string,
    city string,
    postal_code string,
    country string,
    phone string
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/dim_location';

CREATE OR REPLACE VIEW delivered_location AS
SELECT
    location_id,
    address_line_1,
    address_line_2,
    district,
    city,
    postal_code,
    country,
    phone,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_dim_location;

CREATE TABLE IF NOT EXISTS deleted_dim_location (
    location_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/dim_location';

CREATE OR REPLACE VIEW deleted_location AS
SELECT
    location_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_dim_location;

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

CREATE TABLE IF NOT EXISTS data_dim_payment_type (
    payment_type_id int,
    payment_type_name string
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/dim_payment_type';

CREATE OR REPLACE VIEW delivered_payment_type AS
SELECT
    payment_type_id,
    payment_type_name,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_dim_payment_type;

CREATE TABLE IF NOT EXISTS deleted_dim_payment_type (
    payment_type_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/dim_payment_type';

CREATE OR REPLACE VIEW deleted_payment_type AS
SELECT
    payment_type_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_dim_payment_type;

CREATE OR REPLACE VIEW dim_payment_type AS
SELECT
    newest.payment_type_id,
    newest.payment_type_name
FROM (
    SELECT *, row_number() OVER (PARTITION BY payment_type_id ORDER BY batch DESC) AS age
    FROM delivered_payment_type
) AS newest
WHERE newest.age = 1;

CREATE TABLE IF NOT EXISTS data_dim_staff (
    staff_id int,
    first_name string,
    last_name string,
    department_name string,
    location string,
    email_address string
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/dim_staff';

CREATE OR REPLACE VIEW delivered_staff AS
SELECT
    staff_id,
    first_name,
    last_name,
    department_name,
    location,
    email_address,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_dim_staff;

CREATE TABLE IF NOT EXISTS deleted_dim_staff (
    staff_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/dim_staff';

CREATE OR REPLACE VIEW deleted_staff AS
SELECT
    staff_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_dim_staff;

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

CREATE TABLE IF NOT EXISTS data_dim_transaction (
    transaction_id int,
    transaction_type string,
    sales_order_id int,
    purchase_order_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/dim_transaction';

CREATE OR REPLACE VIEW delivered_transaction AS
SELECT
    transaction_id,
    transaction_type,
    sales_order_id,
    purchase_order_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_dim_transaction;

CREATE TABLE IF NOT EXISTS deleted_dim_transaction (
    transaction_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/dim_transaction';

CREATE OR REPLACE VIEW deleted_transaction AS
SELECT
    transaction_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_dim_transaction;

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

CREATE TABLE IF NOT EXISTS data_fact_purchase_order (
    purchase_order_id int,
    created_date date,
    created_time string,
    last_updated_date date,
    last_updated_time string,
    staff_id int,
    counterparty_id int,
    item_code string,
    item_quantity int,
    item_unit_price decimal(10,2),
    currency_id int,
    agreed_delivery_date date,
    agreed_payment_date date,
    agreed_delivery_location_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/fact_purchase_order';

CREATE OR REPLACE VIEW delivered_purchase_order AS
SELECT
    purchase_order_id,
    created_date,
    created_time,
    last_updated_date,
    last_updated_time,
    staff_id,
    counterparty_id,
    item_code,
    item_quantity,
    item_unit_price,
    currency_id,
    agreed_delivery_date,
    agreed_payment_date,
    agreed_delivery_location_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_fact_purchase_order;

CREATE TABLE IF NOT EXISTS deleted_fact_purchase_order (
    purchase_order_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/fact_purchase_order';

CREATE OR REPLACE VIEW deleted_purchase_order AS
SELECT
    purchase_order_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_fact_purchase_order;

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

CREATE TABLE IF NOT EXISTS data_fact_sales_order (
    sales_order_id int,
    created_date date,
    created_time string,
    last_updated_date date,
    last_updated_time string,
    sales_staff_id int,
    counterparty_id int,
    units_sold int,
    unit_price decimal(10,2),
    currency_id int,
    design_id int,
    agreed_payment_date date,
    agreed_delivery_date date,
    agreed_delivery_location_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/fact_sales_order';

CREATE OR REPLACE VIEW delivered_sales_order AS
SELECT
    sales_order_id,
    created_date,
    created_time,
    last_updated_date,
    last_updated_time,
    sales_staff_id,
    counterparty_id,
    units_sold,
    unit_price,
    currency_id,
    design_id,
    agreed_payment_date,
    agreed_delivery_date,
    agreed_delivery_location_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_fact_sales_order;

CREATE TABLE IF NOT EXISTS deleted_fact_sales_order (
    sales_order_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/fact_sales_order';

CREATE OR REPLACE VIEW deleted_sales_order AS
SELECT
    sales_order_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_fact_sales_order;

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

CREATE TABLE IF NOT EXISTS data_fact_payment (
    payment_id int,
    created_date date,
    created_time string,
    last_updated_date date,
    last_updated_time string,
    transaction_id int,
    counterparty_id int,
    payment_amount decimal(10,2),
    currency_id int,
    payment_type_id int,
    paid boolean,
    payment_date date
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/data/fact_payment';

CREATE OR REPLACE VIEW delivered_payment AS
SELECT
    payment_id,
    created_date,
    created_time,
    last_updated_date,
    last_updated_time,
    transaction_id,
    counterparty_id,
    payment_amount,
    currency_id,
    payment_type_id,
    paid,
    payment_date,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM data_fact_payment;

CREATE TABLE IF NOT EXISTS deleted_fact_payment (
    payment_id int
) USING parquet
OPTIONS (recursiveFileLookup 'true')
LOCATION '${lake}/deleted/fact_payment';

CREATE OR REPLACE VIEW deleted_payment AS
SELECT
    payment_id,
    CAST(regexp_extract(_metadata.file_path, 'batch=([0-9]+)', 1) AS int) AS batch
FROM deleted_fact_payment;

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
