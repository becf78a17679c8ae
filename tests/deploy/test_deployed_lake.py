"""`sls deploy` creates the lake and the secrets with the properties that matter."""

import pytest
from botocore.exceptions import ClientError

from tests.deploy.stage import Stage, statements
from totes.contracts.declarations import warehouse_tables

BUCKETS = ("landing_bucket", "processed_bucket")
# One column of each type, in the table's order.
SAMPLE = {
    "payment_id": "int",
    "created_date": "date",
    "created_time": "string",
    "payment_amount": "decimal(10,2)",
    "paid": "boolean",
}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_bucket_is_versioned_private_and_encrypted(stage: Stage, bucket: str) -> None:
    s3, name = stage.client("s3"), {"Bucket": getattr(stage.names, bucket)}

    assert s3.get_bucket_versioning(**name)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(**name)["PublicAccessBlockConfiguration"].values()) == {True}
    [encryption] = s3.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    [ownership] = s3.get_bucket_ownership_controls(**name)["OwnershipControls"]["Rules"]
    assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_lifecycle_moves_batches_and_deletes_nothing(stage: Stage, bucket: str) -> None:
    rules = stage.client("s3").get_bucket_lifecycle_configuration(Bucket=getattr(stage.names, bucket))["Rules"]

    assert [(rule["Filter"], rule["Transitions"]) for rule in rules if "Transitions" in rule] == [
        ({"Prefix": "data/"}, [{"Days": 30, "StorageClass": "INTELLIGENT_TIERING"}])
    ]
    assert not [rule for rule in rules if rule.keys() & {"Expiration", "NoncurrentVersionExpiration"}]


@pytest.mark.parametrize("bucket", BUCKETS)
def test_bucket_refuses_plain_text_and_overwriting(stage: Stage, bucket: str) -> None:
    name = getattr(stage.names, bucket)
    policy = statements(stage.client("s3").get_bucket_policy(Bucket=name)["Policy"])

    assert policy["TlsOnly"] == {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    overwriting = policy["NothingIsOverwritten"]
    assert (overwriting["Effect"], overwriting["Principal"], overwriting["Action"]) == ("Deny", "*", "s3:PutObject")
    assert overwriting["NotResource"] == f"arn:aws:s3:::{name}/log/_latest.json"
    assert overwriting["Condition"] == {"Null": {"s3:if-none-match": "true"}}


def test_catalogue_has_every_folder_of_the_processed_zone(stage: Stage) -> None:
    pages = stage.client("glue").get_paginator("get_tables").paginate(DatabaseName="totes_dev")
    found = {table["Name"]: table for page in pages for table in page["TableList"]}
    tables = warehouse_tables().values()

    folders = [f"data/{table.name}" for table in tables]
    folders += [f"deleted/{table.name}" for table in tables if table.kind != "calendar"]
    assert {name: table["StorageDescriptor"]["Location"] for name, table in found.items()} == {
        folder.replace("/", "_"): f"s3://{stage.names.processed_bucket}/{folder}/" for folder in folders
    }
    assert not any(table.get("PartitionKeys") for table in found.values())
    payment = found["data_fact_payment"]["StorageDescriptor"]["Columns"]
    assert [(column["Name"], column["Type"]) for column in payment if column["Name"] in SAMPLE] == list(SAMPLE.items())


@pytest.mark.parametrize("secret", ["source_secret", "warehouse_secret"])
def test_new_secret_has_no_value(stage: Stage, secret: str) -> None:
    client = stage.client("secretsmanager")
    described = client.describe_secret(SecretId=getattr(stage.names, secret))

    assert "password" in described["Description"]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_secret_value(SecretId=getattr(stage.names, secret))
