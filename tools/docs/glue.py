"""Generates resources/glue.yml from the contracts: the tables of the processed zone for Athena."""

from pathlib import Path
from typing import Any

import yaml

from local.aws.deployment import ROOT
from tools.docs.lake import may_lose_rows
from totes.contracts.declarations import Column, WarehouseTable, type_in_use, warehouse_tables

FILE = ROOT / "resources" / "glue.yml"
DATABASE = "LakeDatabase"
_HEAD = """\
# The processed zone as tables for Athena, see docs/lake.md. A table is a folder with everything below it, so that
# queries see a batch at once (docs/adr/0011-tables-over-folders.md).
# Written by `make docs` from schemas/warehouse.

"""
_FORMAT = "org.apache.hadoop.hive.ql.io.parquet"


def files() -> dict[Path, str]:
    """Returns the generated file."""
    resources = {DATABASE: _database()}
    for table in warehouse_tables().values():
        resources |= _table(table, "data", table.meaning, table.data_columns)
        if may_lose_rows(table):
            meaning = f"Deleted keys. {table.meaning}"
            resources |= _table(table, "deleted", meaning, (table.column(table.identity),))
    text = yaml.safe_dump({"Resources": resources}, default_flow_style=None, sort_keys=False, width=1000)
    return {FILE: _HEAD + text}


def _database() -> dict[str, Any]:
    declared = {"Name": "totes_${sls:stage}", "Description": "The processed zone of totes."}
    return {
        "Type": "AWS::Glue::Database",
        "Properties": {"CatalogId": {"Ref": "AWS::AccountId"}, "DatabaseInput": declared},
    }


def _table(table: WarehouseTable, part: str, meaning: str, columns: tuple[Column, ...]) -> dict[str, Any]:
    name = f"{part}_{table.name}"
    declared = {
        "Name": name,
        "Description": meaning,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
        "StorageDescriptor": {
            "Location": {"Fn::Sub": f"s3://${{ProcessedBucket}}/{part}/{table.name}/"},
            "InputFormat": f"{_FORMAT}.MapredParquetInputFormat",
            "OutputFormat": f"{_FORMAT}.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": f"{_FORMAT}.serde.ParquetHiveSerDe"},
            "Columns": [
                {"Name": column.name, "Type": type_in_use(column).glue_name, "Comment": column.meaning}
                for column in columns
            ],
        },
    }
    resource = {
        "Type": "AWS::Glue::Table",
        "Properties": {
            "CatalogId": {"Ref": "AWS::AccountId"},
            "DatabaseName": {"Ref": DATABASE},
            "TableInput": declared,
        },
    }
    return {"".join(word.title() for word in name.split("_")): resource}
