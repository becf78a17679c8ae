"""The findings of a function that examines itself: of a healthy stage, and each one provoked."""

import importlib
import io
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError

from local.postgres.databases import LOADER, READER
from local.postgres.server import SOCKET_NAME, Postgres
from tests.support import s3_wire
from tests.support.peers import DAY, NOW, Authority
from tests.support.pipeline import Pipeline, physical_rows
from totes.errors import InputRefused, LakeUnavailable
from totes.lake.batch_log import BatchLog
from totes.postgres.connection import TOTESYS, WAREHOUSE
from totes.verify.doctor import database
from totes.verify.doctor.database import Server, judge_certificate, judge_server
from totes.verify.doctor.findings import Finding, Level
from totes.verify.doctor.inside import EXAMINED
from totes.warehouse.schema import latest_version
from totes.warehouse.warehouse import Warehouse

Damage = Callable[[Pipeline, pytest.MonkeyPatch], object]
Examine = Callable[[str], list[dict[str, Any]]]
_LOCK = "SELECT pg_advisory_xact_lock(500152823155)"


@pytest.fixture
def examine(seeded: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Calls a function as `totes doctor` does; returns its findings after a round trip through JSON, as on Lambda."""
    monkeypatch.setenv("TOTES_LANDING_BUCKET", seeded.landing_bucket)
    monkeypatch.setenv("TOTES_PROCESSED_BUCKET", seeded.processed_bucket)
    monkeypatch.setenv("TOTES_SOURCE_SECRET", f"{seeded.name}/source")
    monkeypatch.setenv("TOTES_WAREHOUSE_SECRET", f"{seeded.name}/warehouse")

    def call(function: str) -> list[dict[str, Any]]:
        answer = importlib.import_module(f"functions.{function}").handler({"doctor": True}, None)
        found: list[dict[str, Any]] = json.loads(json.dumps(answer))["findings"]
        return found

    return call


@pytest.mark.parametrize("function", EXAMINED)
def test_nothing_is_found_where_all_is_well(examine: Examine, function: str) -> None:
    assert [found for found in examine(function) if found["level"] != "ok" or found["remedy"]] == []


def test_each_thing_that_is_asked_is_looked_at(examine: Examine) -> None:
    found = {function: [finding["code"] for finding in examine(function)] for function in EXAMINED}
    database = ["settings", "secret", "tls", "login", "server", "clock", "connections"]
    assert found == {
        "ingest": [*database, "tables", "log", "writing", "log"],
        "transform": ["settings", "log", "objects", "log", "writing"],
        "load": [*database, "schema", "rights", "declared", "log", "objects"],
    }


def test_examination_leaves_no_trace(
    seeded: Pipeline, examine: Examine, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    def seen() -> object:
        versions = [
            seeded.s3.list_object_versions(Bucket=bucket) for bucket in (seeded.landing_bucket, seeded.processed_bucket)
        ]
        return [len(found["Versions"]) for found in versions], seeded.objects(), physical_rows(seeded)

    before = seen()
    for function in EXAMINED:
        examine(function)
    assert seen() == before
    # There is no metric: it would count as an execution's.
    assert capsys.readouterr().out == ""


def test_examination_waits_for_no_execution_that_loads(seeded: Pipeline, postgres: Postgres, examine: Examine) -> None:
    with postgres.connect(seeded.warehouse) as loading:
        loading.cursor().execute(_LOCK)
        loading.cursor().execute("LOCK TABLE fact_sales_order IN ROW EXCLUSIVE MODE")
        assert {found["level"] for found in examine("load")} == {"ok"}
        loading.rollback()


def test_no_check_can_change_a_database(seeded: Pipeline, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(warehouse: Warehouse, _: object) -> Iterator[Any]:
        yield from warehouse.connection.execute("CREATE TABLE mine ()")

    monkeypatch.setattr(database.declared, "missing_rights", write)
    (refused,) = [found for found in examine("load") if found["level"] != "ok"]
    assert "cannot execute CREATE TABLE in a read-only transaction" in refused["found"]
    assert seeded.star("SELECT to_regclass('mine')") == [[None]]


@pytest.mark.parametrize("event", [{"doctor": False}, {"doctor": True, "execution": "arn"}, {"doctor": "yes"}])
@pytest.mark.parametrize("function", EXAMINED)
def test_other_inputs_are_refused(function: str, event: dict[str, Any]) -> None:
    with pytest.raises(InputRefused, match=r"doctor"):
        importlib.import_module(f"functions.{function}").handler(event, None)


# Operations that S3 refuses in a test.
REFUSED: set[str] = set()


def deny(operation: str, code: str = "AccessDenied") -> Damage:
    """Makes AWS refuse an operation."""

    def damage(_: Pipeline, patch: pytest.MonkeyPatch) -> None:
        real = botocore.client.BaseClient._make_api_call

        def call(client: Any, name: str, given: Any) -> Any:
            if name == operation:
                raise ClientError({"Error": {"Code": code, "Message": "no"}}, name)  # type: ignore[typeddict-item]
            return real(client, name, given)

        patch.setattr(botocore.client.BaseClient, "_make_api_call", call)

    return damage


def secret(which: str, **changes: Any) -> Damage:
    role, place = (READER, "source") if which == "source" else (LOADER, "warehouse")
    return lambda seeded, _: seeded.put_secret(which, getattr(seeded, place), role, **changes)


def refused(operation: str) -> Damage:
    """Makes S3 refuse an operation."""
    return lambda _, patch: patch.setattr(sys.modules[__name__], "REFUSED", {operation})


def refusing(request: s3_wire.Request, send: s3_wire.Send) -> s3_wire.Answer | None:
    return s3_wire.error(403, "AccessDenied") if request.operation in REFUSED else send()


def unresolved(seeded: Pipeline, patch: pytest.MonkeyPatch) -> None:
    real, host = socket.getaddrinfo, "db.vpc.example.com"

    def resolve(name: Any, *others: Any, **options: Any) -> Any:
        if name == host:
            raise socket.gaierror(-2, "Name or service not known")
        return real(name, *others, **options)

    secret("source", host=host, sslmode="prefer")(seeded, patch)
    patch.setattr(socket, "getaddrinfo", resolve)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def without_objects(bucket: str) -> Damage:
    def damage(seeded: Pipeline, _: pytest.MonkeyPatch) -> None:
        name = getattr(seeded, bucket)
        for item in seeded.s3.list_objects_v2(Bucket=name, Prefix="data/")["Contents"]:
            seeded.s3.delete_object(Bucket=name, Key=item["Key"])

    return damage


def without_bucket(seeded: Pipeline, _: pytest.MonkeyPatch) -> None:
    boto3.resource("s3").Bucket(seeded.landing_bucket).object_versions.delete()
    seeded.s3.delete_bucket(Bucket=seeded.landing_bucket)


def no_way_to_s3(_: Pipeline, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchLog, "last", raising(LakeUnavailable("S3: Connect timeout.")))


def no_way_to_secrets(_: Pipeline, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(database, "read_credentials", raising(LakeUnavailable("Secret: Connect timeout.")))


def broken_check(_: Pipeline, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(database.declared, "missing_rights", raising(LookupError("lost")))


def without_temporary(seeded: Pipeline, _: pytest.MonkeyPatch) -> None:
    seeded.star(f"REVOKE TEMPORARY ON DATABASE {seeded.warehouse} FROM PUBLIC, {LOADER}")


LOST_GRANT = f"REVOKE SELECT ON payment FROM {READER}"
HIDING = "ALTER TABLE currency ENABLE ROW LEVEL SECURITY"
RENAMED = "ALTER TABLE design RENAME file_name TO file"
NEWER = f"INSERT INTO etl.schema_version VALUES ({latest_version() + 1}, now())"
NO_KEY = "ALTER TABLE fact_payment DROP CONSTRAINT fact_payment_currency_id_fkey"
NO_COLUMN = "ALTER TABLE dim_design DROP COLUMN file_location CASCADE"

# By function, code and level: the remedy, and how the test provokes the finding.
PROVOKED: list[tuple[str, str, str, str, Damage]] = [
    (
        "ingest",
        "SettingsInvalid",
        "failed",
        "Set them under `environment`",
        lambda _, p: p.delenv("TOTES_SOURCE_SECRET"),
    ),
    (
        "ingest",
        "AccessDenied",
        "failed",
        "Check that the secret exists",
        deny("GetSecretValue", "AccessDeniedException"),
    ),
    ("ingest", "AccessDenied", "failed", "Store a JSON object with host", secret("source", host="")),
    ("ingest", "unseen", "unknown", "", deny("GetSecretValue", "AccessDeniedException")),
    ("load", "AccessDenied", "failed", "Store a JSON object with host", secret("warehouse", password="")),
    (
        "ingest",
        "tls-weak",
        "warning",
        "`totes secret source --sslmode verify-full`",
        secret("source", host="db.invalid", sslmode="require"),
    ),
    (
        "ingest",
        "SourceUnreachable",
        "failed",
        "docs/deploy.md#databases-in-a-vpc",
        secret("source", host="127.0.0.1", port=1),
    ),
    (
        "load",
        "WarehouseUnreachable",
        "failed",
        "docs/deploy.md#databases-in-a-vpc",
        secret("warehouse", host="127.0.0.1", port=1),
    ),
    ("ingest", "SourceUnreachable", "failed", "`totes secret source --host …`", unresolved),
    ("ingest", "AccessDenied", "failed", "Put the right dbname into the secret", secret("source", dbname="nowhere")),
    ("ingest", "AccessDenied", "failed", "GRANT SELECT ON payment", lambda s, _: s.totesys(LOST_GRANT)),
    ("ingest", "AccessDenied", "failed", "BYPASSRLS", lambda s, _: s.totesys(HIDING)),
    ("ingest", "ContractViolation", "failed", "Change the declarations in schemas/", lambda s, _: s.totesys(RENAMED)),
    ("ingest", "AccessDenied", "failed", "the role which asks may use it", refused("PutObject")),
    ("transform", "AccessDenied", "failed", "the role which asks may use it", refused("PutObject")),
    ("ingest", "AccessDenied", "failed", "Check that the bucket exists", without_bucket),
    ("transform", "AccessDenied", "failed", "Check that the bucket exists", without_bucket),
    ("transform", "AccessDenied", "failed", "the role which asks may use it", refused("HeadObject")),
    ("transform", "ObjectMissing", "failed", "Restore it in S3", without_objects("landing_bucket")),
    ("load", "ObjectMissing", "failed", "Restore it in S3", without_objects("processed_bucket")),
    ("load", "LakeUnavailable", "failed", "S3 and Secrets Manager need an endpoint each", no_way_to_s3),
    ("load", "LakeUnavailable", "failed", "S3 and Secrets Manager need an endpoint each", no_way_to_secrets),
    ("load", "VersionUnknown", "failed", "Deploy the release that made it", lambda s, _: s.star(NEWER)),
    ("load", "right-missing", "failed", "GRANT TEMPORARY ON DATABASE", without_temporary),
    (
        "load",
        "right-missing",
        "failed",
        "ALTER TABLE dim_design OWNER TO",
        lambda s, _: s.star("ALTER TABLE dim_design OWNER TO postgres"),
    ),
    ("load", "differs", "failed", "Undo the change", lambda s, _: s.star(NO_COLUMN)),
    ("load", "differs-slightly", "warning", "Undo the change", lambda s, _: s.star(NO_KEY)),
    ("load", "unexpected", "unknown", "it is a bug in `totes doctor`", broken_check),
]


@pytest.mark.parametrize(
    ("function", "code", "level", "remedy", "damage"),
    PROVOKED,
    ids=[f"{case[0]}-{case[1]}-{case[3]}" for case in PROVOKED],
)
def test_finding_is_provoked(
    seeded: Pipeline,
    examine: Examine,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    code: str,
    level: str,
    remedy: str,
    damage: Damage,
) -> None:
    damage(seeded, monkeypatch)
    with s3_wire.heard_by(refusing):
        found = examine(function)
    provoked = [finding for finding in found if finding["code"] == code and remedy in finding["remedy"]]
    assert [finding["level"] for finding in provoked] == [level], found
    # The other checks are still made.
    assert "ok" in {finding["level"] for finding in found} or code == "SettingsInvalid"
    assert not any(password in str(found) for password in seeded.passwords.values())


HEALTHY = Server("18.4", 180004, in_recovery=False, connections=100, room=90, skew=timedelta(seconds=1))
OLD = {"version": "12.9", "number": 120009}
JUDGED: list[tuple[str, str, str, Any, dict[str, Any]]] = [
    ("server-too-old", "failed", "Name another server by `totes secret source`", TOTESYS, OLD),
    ("source-standby", "warning", "Nothing, if that is intended.", TOTESYS, {"in_recovery": True}),
    ("warehouse-standby", "failed", "Name the primary's host", WAREHOUSE, {"in_recovery": True}),
    ("clock-skew", "warning", "Correct the server's clock", TOTESYS, {"skew": timedelta(minutes=2)}),
    ("connections-few", "warning", "raise max_connections", WAREHOUSE, {"room": 4}),
]


@pytest.mark.parametrize(("code", "level", "remedy", "which", "changes"), JUDGED, ids=[case[0] for case in JUDGED])
def test_server_is_judged(code: str, level: str, remedy: str, which: Any, changes: dict[str, Any]) -> None:
    wrong = [found for found in judge_server(which, Server(**HEALTHY.__dict__ | changes)) if found.level != Level.OK]
    assert [(found.code, found.level) for found in wrong] == [(code, level)]
    assert remedy in wrong[0].remedy
    assert {found.level for found in judge_server(which, HEALTHY)} == {Level.OK}


@pytest.mark.parametrize(("days", "code", "level"), [(29, "certificate-expires", "warning"), (31, "certificate", "ok")])
def test_certificate_is_judged_by_the_days_that_are_left(days: int, code: str, level: str) -> None:
    found = judge_certificate(datetime.now(UTC) + timedelta(days=days))
    assert (found.code, found.level) == (code, level)
    assert ("Renew it on the server" in found.remedy) == (level == "warning")


@contextmanager
def tls_before(postgres: Postgres, certificate: Path) -> Iterator[int]:
    """Yields the port of a server that speaks TLS and passes the client's bytes on to PostgreSQL's socket."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_relay_all, args=(server, context, f"{postgres.host}/{SOCKET_NAME}"))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _relay_all(server: socket.socket, context: ssl.SSLContext, path: str) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            client.recv(8)
            client.sendall(b"S")
            with (
                suppress(OSError),
                context.wrap_socket(client, server_side=True) as encrypted,
                socket.socket(socket.AF_UNIX) as behind,
            ):
                behind.connect(path)
                answers = threading.Thread(target=_relay, args=(behind, encrypted))
                answers.start()
                _relay(encrypted, behind)
                answers.join()


def _relay(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while some := one.recv(1 << 16):
            other.sendall(some)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)


def test_certificate_of_the_server_is_looked_at(
    seeded: Pipeline, postgres: Postgres, examine: Examine, tmp_path: Path
) -> None:
    authority = Authority()
    certificate = authority.certificate(tmp_path, "127.0.0.1", until=NOW + 3 * DAY)
    with tls_before(postgres, certificate) as port:
        place = {"host": "127.0.0.1", "port": port, "sslmode": "verify-full", "ca": authority.pem}
        seeded.put_secret("source", seeded.source, READER, **place)
        found = {finding["code"]: finding for finding in examine("ingest")}
    assert found["certificate-expires"]["level"] == "warning"
    assert f"{NOW + 3 * DAY:%Y-%m-%d}" in found["certificate-expires"]["found"]
    assert found["tables"]["level"] == "ok"


def test_secret_in_a_finding_is_masked() -> None:
    found = Finding("any", Level.FAILED, "postgresql://reader:hunter2@db/totesys", "PGPASSWORD=hunter2 psql")
    assert "hunter2" not in found.found + found.remedy


def test_a_lake_without_a_batch_is_no_fault(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SimpleNamespace(landing=pipeline.landing_bucket, processed=pipeline.processed_bucket)
    monkeypatch.setenv("TOTES_LANDING_BUCKET", settings.landing)
    monkeypatch.setenv("TOTES_PROCESSED_BUCKET", settings.processed)
    found = importlib.import_module("functions.transform").handler({"doctor": True}, None)["findings"]
    assert [finding["level"] for finding in found] == ["ok"] * 3
    assert pipeline.objects() == set()
