"""A stage's name determines an account, a region, and a warehouse that is only read."""

import boto3
import pytest
from pg8000.native import identifier

from cli.deployment import Target, WarehouseEmpty, warehouse
from local.postgres.databases import LOADER
from tests.support.pipeline import Pipeline
from totes.errors import TotesError
from totes.runtime.names import Names


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")


def deploy_secret(pipeline: Pipeline) -> Names:
    """Puts the warehouse's credentials into a stage's secret, and returns the stage's names."""
    names = Names(pipeline.name, "123456789012", "eu-west-2")
    secrets = boto3.client("secretsmanager")
    found = secrets.get_secret_value(SecretId=f"{pipeline.name}/warehouse")["SecretString"]
    secrets.create_secret(Name=names.warehouse_secret, SecretString=found)
    return names


def test_stage_and_region_name_everything(pipeline: Pipeline) -> None:
    assert Target("prod", "eu-west-1").connect() == Names("prod", "123456789012", "eu-west-1")
    assert boto3.client("s3").meta.region_name == "eu-west-1"


def test_empty_warehouse_says_how_to_fill_it(pipeline: Pipeline) -> None:
    names = deploy_secret(pipeline)
    with pytest.raises(WarehouseEmpty, match=r"nothing is loaded yet\. Start with `totes run`"), warehouse(names):
        pass


def test_console_can_only_read_the_warehouse(pipeline: Pipeline) -> None:
    names = deploy_secret(pipeline)
    pipeline.star(f"CREATE SCHEMA etl AUTHORIZATION {identifier(LOADER)}")
    pipeline.star("CREATE TABLE etl.batch (batch_id integer)")
    with pytest.raises(TotesError, match="read-only transaction"), warehouse(names) as connection:
        connection.execute("CREATE TABLE public.mine (id integer)")
