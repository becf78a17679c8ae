"""Compares a test's warehouse with its totesys, as `totes reconcile` does."""

from types import SimpleNamespace
from typing import Any

from cli.commands.reconcile import compare, find_tables
from tests.support.pipeline import Pipeline
from totes.verify.reconcile.reconcile import comparable
from totes.verify.reconcile.result import Reconciliation


def names(pipeline: Pipeline) -> Any:
    """Returns the names of a pipeline's resources."""
    return SimpleNamespace(
        landing_bucket=pipeline.landing_bucket,
        processed_bucket=pipeline.processed_bucket,
        source_secret=f"{pipeline.name}/source",
        warehouse_secret=f"{pipeline.name}/warehouse",
    )


def reconcile(pipeline: Pipeline, *tables: str) -> Reconciliation:
    return compare(names(pipeline), find_tables(tables or comparable()))
