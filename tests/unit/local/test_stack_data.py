from pathlib import Path

import pytest

from local.stack import Stack
from tests.unit.local.conftest import obey

pytestmark = pytest.mark.server


def test_kept_stack_has_its_data_again(home: Path, small_machine: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Stack(data, obey, small_machine) as stack:
        assert stack.fresh
        bucket = stack.names.landing_bucket
        stack.client("s3").put_object(Bucket=bucket, Key="log/00000001.json", Body=b"one")
        stack.postgres.execute("CREATE TABLE kept AS SELECT 7 AS seven", "warehouse")
        passwords = stack.client("secretsmanager").get_secret_value(SecretId=stack.names.source_secret)

    with Stack(data, obey, small_machine) as stack:
        assert not stack.fresh
        assert stack.client("s3").get_object(Bucket=bucket, Key="log/00000001.json")["Body"].read() == b"one"
        assert stack.postgres.execute("SELECT seven FROM kept", "warehouse") == ([7],)
        again = stack.client("secretsmanager").get_secret_value(SecretId=stack.names.source_secret)

    assert passwords["SecretString"] != again["SecretString"]
    assert (data / "lake" / bucket / "log" / "00000001.json").read_bytes() == b"one"


def test_stack_without_a_data_folder_starts_empty(home: Path, small_machine: Path) -> None:
    with Stack(invoker=obey, definition=small_machine) as stack:
        assert stack.fresh
        assert "Contents" not in stack.client("s3").list_objects_v2(Bucket=stack.names.landing_bucket)
        assert stack.mails() == []
        logs = stack.logs

    assert not logs.exists()
    assert not home.exists()
