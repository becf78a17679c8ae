-- Which three designs sell best in each of the five countries that buy most?
--
-- Answers: for the five countries with the most units, the three designs with the most units, and each
--   design's share of the country's units.
-- Assumes: the country is the one agreed for delivery. A design is its name, because each new drawing of a
--   design gets a new design_id. Only the latest version of an order counts, and deleted orders do not.
--   Equal units share a rank, so a tie can show a fourth design or a sixth country.
-- Chart: bar, x=units, y=design_name, row=country

WITH units_by_design AS (
    SELECT
        location.country,
        design.design_name,
        SUM(sale.units_sold) AS units
    FROM current_sales_order AS sale
    INNER JOIN dim_location AS location ON location.location_id = sale.agreed_delivery_location_id
    INNER JOIN dim_design AS design ON design.design_id = sale.design_id
    GROUP BY location.country, design.design_name
),

ranked_countries AS (
    SELECT
        country,
        SUM(units) AS country_units,
        RANK() OVER (ORDER BY SUM(units) DESC) AS country_rank
    FROM units_by_design
    GROUP BY country
),

ranked_designs AS (
    SELECT
        country,
        design_name,
        units,
        RANK() OVER (PARTITION BY country ORDER BY units DESC) AS design_rank
    FROM units_by_design
)

SELECT
    ranked_countries.country,
    ranked_countries.country_units,
    ranked_designs.design_rank,
    ranked_designs.design_name,
    ranked_designs.units,
    CAST(
        100.0 * ranked_designs.units / NULLIF(ranked_countries.country_units, 0) AS numeric(38, 1)
    ) AS percent_of_country
FROM ranked_countries
INNER JOIN ranked_designs ON ranked_designs.country = ranked_countries.country
WHERE ranked_countries.country_rank <= 5 AND ranked_designs.design_rank <= 3
ORDER BY ranked_countries.country_rank, country, design_rank, design_name;
