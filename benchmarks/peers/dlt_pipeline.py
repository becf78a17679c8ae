"""Runs a dlt pipeline once: from sales_order in one database to a table in another. Runs in dlt's own environment.

python dlt_pipeline.py <source URI> <target URI> <folder of its state> <write disposition>
"""

import sys

import dlt
from dlt.sources.sql_database import sql_table


def main(source: str, target: str, folder: str, disposition: str) -> None:
    orders = sql_table(
        source,
        table="sales_order",
        schema="public",
        incremental=dlt.sources.incremental("last_updated"),
        backend="connectorx",
        reflection_level="full_with_precision",
        primary_key="sales_order_id",
        write_disposition=disposition,
    )
    pipeline = dlt.pipeline(
        "orders", pipelines_dir=folder, destination=dlt.destinations.postgres(target), dataset_name="public"
    )
    pipeline.run(orders, loader_file_format="parquet").raise_on_failed_jobs()


if __name__ == "__main__":
    main(*sys.argv[1:])
