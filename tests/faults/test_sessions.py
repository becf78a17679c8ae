"""F58 and F59: a role, a database, a server or a pooler changes settings, and row-level security hides rows."""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pg8000.native import identifier, literal

from local.business.seed import seed
from local.business.trading import MEASURED_UNTIL
from local.postgres.databases import LOADER, READER, READER_RIGHTS, SOURCE_SCHEMA
from local.postgres.server import SOCKET_NAME
from tests.faults.scenario import HEAL, HOLD, Scenario, fault, on
from totes.postgres.connection import TOTESYS, WAREHOUSE

AMENDED = "UPDATE sales_order SET agreed_delivery_location_id = %s WHERE sales_order_id = %s"
RENAMED = "UPDATE staff SET first_name = %s WHERE staff_id = 7"
OURS = {"source": READER, "warehouse": LOADER}
# Values that differ from ours as much as possible.
ODD = {
    "client_encoding": "latin1",
    "TimeZone": "Pacific/Chatham",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "xmlbinary": "hex",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "xmloption": "document",
    "search_path": "nowhere",
    "gin_fuzzy_search_limit": "1",
    "default_transaction_isolation": "serializable",
}


def set_for_role(scenario: Scenario, which: str, **settings: str) -> None:
    """Presets settings for a secret's user, in its database."""
    for name, value in settings.items():
        scenario.pipeline.postgres.execute(
            f"ALTER ROLE {identifier(OURS[which])} IN DATABASE {identifier(getattr(scenario.pipeline, which))} "
            f"SET {name} = {literal(value)}"
        )


def set_for_database(scenario: Scenario, which: str, **settings: str) -> None:
    for name, value in settings.items():
        scenario.pipeline.postgres.execute(
            f"ALTER DATABASE {identifier(getattr(scenario.pipeline, which))} SET {name} = {literal(value)}"
        )


def make_again(scenario: Scenario, which: str, encoding: str) -> None:
    """Replaces one of the two databases with one in another encoding, before the first run."""
    postgres, name = scenario.pipeline.postgres, getattr(scenario.pipeline, which)
    postgres.execute(f"DROP DATABASE {identifier(name)} WITH (FORCE)")
    postgres.execute(
        f"CREATE DATABASE {identifier(name)} OWNER {LOADER if which == 'warehouse' else 'postgres'} "
        f"TEMPLATE template0 ENCODING {literal(encoding)} LOCALE_PROVIDER libc LOCALE 'C'"
    )
    # These are for the tests' own sessions, which read and write as the superuser.
    postgres.execute(f"ALTER ROLE postgres IN DATABASE {identifier(name)} SET client_encoding = 'UTF8'")
    if which == "source":
        with scenario.session() as totesys:
            for statement in (SOURCE_SCHEMA.read_text(encoding="utf-8"), *READER_RIGHTS):
                totesys.cursor().execute(statement)
            seed(totesys, until=MEASURED_UNTIL, scale=0.02)
            totesys.commit()


def first_name(scenario: Scenario) -> str:
    ((name,),) = scenario.star("SELECT first_name FROM dim_staff WHERE staff_id = 7")
    return str(name)


POLICIES = {
    "no policy": "",
    "a harmless one": "CREATE POLICY all_rows ON {} USING (true)",
    "one that hides": "CREATE POLICY few_rows ON {} USING (last_updated > '2023-01-01')",
}


def secure(scenario: Scenario, table: str, policy: str) -> None:
    scenario.totesys(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    if POLICIES[policy]:
        scenario.totesys(POLICIES[policy].format(table))


@fault("F58", "row-level security hides rows of totesys", HOLD)
@pytest.mark.parametrize("policy", POLICIES)
def test_f58_tables_with_row_level_security_are_named(scenario: Scenario, policy: str) -> None:
    scenario.totesys(AMENDED, 1, 7)
    for table in ("payment", "design"):
        secure(scenario, table, policy)

    failed = scenario.run()

    assert failed.error == "AccessDenied"
    assert failed.changed_nothing
    assert (
        "may hide rows of design, payment, which would look deleted. ALTER ROLE … BYPASSRLS for the user" in failed.mail
    )
    for table in ("payment", "design"):
        scenario.totesys(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    scenario.run()


@fault("F58", "row-level security hides rows of totesys before the first run", HOLD)
@on("small_totesys")
def test_f58_first_run_does_not_load_a_part(scenario: Scenario) -> None:
    secure(scenario, "payment", "one that hides")

    failed = scenario.run()

    assert failed.error == "AccessDenied"
    scenario.pipeline.postgres.execute(f"ALTER ROLE {READER} BYPASSRLS")
    try:
        scenario.run()
    finally:
        scenario.pipeline.postgres.execute(f"ALTER ROLE {READER} NOBYPASSRLS")
        scenario.totesys("ALTER TABLE payment DISABLE ROW LEVEL SECURITY")


@fault("F58", "row-level security is forced upon the owner of a warehouse table", HOLD)
@pytest.mark.parametrize("table", ["dim_design", "fact_sales_order", "etl.batch"])
def test_f58_rows_hidden_from_the_warehouses_owner_hold(scenario: Scenario, table: str) -> None:
    scenario.totesys(AMENDED, 1, 7)
    scenario.totesys("UPDATE design SET file_name = 'new.json' WHERE design_id = 7")
    scenario.star(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")

    failed = scenario.run()

    assert failed.error == "AccessDenied"
    assert "Row-level security of the warehouse may hide rows" in failed.mail
    assert "ALTER ROLE … BYPASSRLS" in failed.mail
    scenario.star(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    assert scenario.run().output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F59", "a role or a database sets another client_encoding", HEAL)
@pytest.mark.parametrize("which", OURS)
@pytest.mark.parametrize("by", [set_for_role, set_for_database])
def test_f59_letters_arrive_whatever_encoding_is_preset(scenario: Scenario, which: str, by: object) -> None:
    by(scenario, which, client_encoding="latin1")  # type: ignore[operator]
    scenario.totesys(RENAMED, "Zoë")
    scenario.run()
    assert first_name(scenario) == "Zoë"


@fault("F59", "a role's settings print and read values in other ways", HEAL)
@pytest.mark.parametrize("which", OURS)
@pytest.mark.parametrize("settings", [ODD, {"quote_all_identifiers": "on"}], ids=["all", "quote_all_identifiers"])
def test_f59_no_setting_of_a_role_changes_a_value(scenario: Scenario, which: str, settings: dict[str, str]) -> None:
    set_for_role(scenario, which, **settings)
    scenario.totesys(RENAMED, "Zoë \\' Łukasz")
    scenario.totesys(
        "UPDATE sales_order SET agreed_delivery_date = '2026-02-03', unit_price = 3.1 WHERE sales_order_id = 7"
    )
    scenario.run()
    assert first_name(scenario) == "Zoë \\' Łukasz"
    order = "SELECT agreed_delivery_date::text, unit_price::text FROM current_sales_order WHERE sales_order_id = 7"
    assert scenario.star(order) == [["2026-02-03", "3.10"]]


@fault("F59", "a database has another encoding", HEAL)
@pytest.mark.parametrize(
    ("which", "encoding", "name"),
    [
        ("source", "LATIN1", "Zoë"),
        ("warehouse", "LATIN1", "Zoë"),
        ("source", "SQL_ASCII", "Zoë"),
        ("warehouse", "SQL_ASCII", "Łukasz 🙂"),
        ("source", "WIN1252", "Zoë €"),
        ("source", "EUC_JP", "明子"),
        ("warehouse", "EUC_JP", "明子"),
    ],
)
@on("small_totesys")
def test_f59_letters_arrive_whatever_encodes_them(scenario: Scenario, which: str, encoding: str, name: str) -> None:
    make_again(scenario, which, encoding)
    scenario.run()
    scenario.totesys(RENAMED, name)
    scenario.run()
    assert first_name(scenario) == name


@fault("F59", "a text's bytes are not valid UTF-8", HOLD)
@pytest.mark.parametrize(("encoding", "value"), [("SQL_ASCII", "5a6feb"), ("EUC_JP", "f5a1")])
@on("small_totesys")
def test_f59_bytes_of_another_encoding_are_named(scenario: Scenario, encoding: str, value: str) -> None:
    make_again(scenario, "source", encoding)
    scenario.run()
    scenario.totesys(f"UPDATE staff SET first_name = convert_from('\\x{value}', '{encoding}') WHERE staff_id <= 7")

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert failed.changed_nothing
    assert f"staff 1: first_name is \\x{value}, expected" in failed.mail
    assert f"staff 5: first_name is \\x{value}, expected" in failed.mail
    assert "in UTF-8, too; and 2 more." in failed.mail
    scenario.totesys("UPDATE staff SET first_name = 'Zoe' WHERE staff_id <= 7")
    scenario.run()


@fault("F59", "a text has letters that the warehouse's encoding lacks", HOLD)
@pytest.mark.parametrize("name", ["Łukasz", "🙂"])
@on("small_totesys")
def test_f59_letters_that_the_warehouse_lacks_are_named(scenario: Scenario, name: str) -> None:
    make_again(scenario, "warehouse", "LATIN1")
    scenario.run()
    scenario.totesys(RENAMED, name)

    failed = scenario.run()

    assert failed.error == "ContractViolation"
    assert "dim_staff 7: first_name" in failed.mail
    assert '"LATIN1"' in failed.mail
    scenario.totesys(RENAMED, "Zoë")
    # The batch in flight keeps the old name, so the warehouse needs another encoding.
    scenario.pipeline.postgres.execute(f"DROP DATABASE {identifier(scenario.pipeline.warehouse)} WITH (FORCE)")
    scenario.pipeline.postgres.execute(
        f"CREATE DATABASE {identifier(scenario.pipeline.warehouse)} OWNER {LOADER} TEMPLATE template0 ENCODING 'UTF8'"
    )
    scenario.run()


@fault("F59", "the server does not know a setting", HEAL)
@pytest.mark.parametrize(("module", "database"), [("ingest.TOTESYS", TOTESYS), ("load.WAREHOUSE", WAREHOUSE)])
def test_f59_unknown_setting_stops_nothing(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, module: str, database: object
) -> None:
    asked = replace(database, session={"setting_of_a_later_server": "on", **database.session})  # type: ignore
    monkeypatch.setattr(f"totes.{module}", asked)
    set_for_role(scenario, "source", DateStyle="SQL, DMY")
    scenario.totesys(RENAMED, "Zoë")
    scenario.run()
    assert first_name(scenario) == "Zoë"


@fault("F59", "a superuser's settings hide damage", HOLD)
@pytest.mark.parametrize("which", OURS)
@pytest.mark.parametrize(
    ("setting", "value"),
    [("zero_damaged_pages", "on"), ("ignore_checksum_failure", "on"), ("session_replication_role", "replica")],
)
def test_f59_setting_that_hides_damage_is_named(scenario: Scenario, which: str, setting: str, value: str) -> None:
    scenario.totesys(RENAMED, "Zoë")
    set_for_role(scenario, which, **{setting: value})

    failed = scenario.run()

    assert failed.error == "DatabaseFailed"
    assert f"{setting} is '{value}' instead of" in failed.mail
    assert "Have a superuser RESET it" in failed.mail
    scenario.pipeline.postgres.execute(
        f"ALTER ROLE {OURS[which]} IN DATABASE {identifier(getattr(scenario.pipeline, which))} RESET {setting}"
    )
    scenario.run()


@fault("F59", "a pooler drops settings", HOLD)
@pytest.mark.parametrize("which", OURS)
@pytest.mark.parametrize(
    "setting",
    [b"SET LOCAL DateStyle = 'ISO, YMD'", b"SET LOCAL client_encoding = 'UTF8'"],
    ids=["DateStyle", "client_encoding"],
)
def test_f59_dropped_setting_is_named(scenario: Scenario, which: str, setting: bytes) -> None:
    scenario.totesys(RENAMED, "Zoë")
    name = setting.decode().split()[2]
    set_for_role(scenario, which, **{name: ODD[name]})
    with dropping(scenario.pipeline.postgres.host, setting, b"client_encoding\0UTF8\0") as host:
        scenario.pipeline.put_secret(which, getattr(scenario.pipeline, which), OURS[which], host=host)

        failed = scenario.run()

    assert failed.error == "DatabaseFailed"
    assert f"{name} is '{ODD[name]}' instead of" in failed.mail.replace("LATIN1", "latin1")
    assert "A pooler, a proxy or the server drops or changes what a transaction sets" in failed.mail
    scenario.pipeline.put_secret(which, getattr(scenario.pipeline, which), OURS[which])
    scenario.run()


@contextlib.contextmanager
def dropping(server: str, *dropped: bytes) -> Iterator[str]:
    """Yields the folder of a socket that passes messages on to a server, but drops parts of the client's messages."""
    with (
        tempfile.TemporaryDirectory(prefix="totes-", dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        listener.bind(f"{folder}/{SOCKET_NAME}")
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    pooled = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                    pooled.connect(f"{server}/{SOCKET_NAME}")
                    threading.Thread(target=pass_on, args=(client, pooled, dropped), daemon=True).start()
                    threading.Thread(target=pass_on, args=(pooled, client, ()), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield folder
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def pass_on(sender: socket.socket, receiver: socket.socket, dropped: tuple[bytes, ...]) -> None:
    with contextlib.suppress(OSError), sender:
        while block := sender.recv(65_536):
            for part in dropped:
                # The message must keep its length, so another parameter or a comment takes the part's place.
                block = block.replace(part, b"lock_timeout\0" + b"1000000\0" if b"\0" in part else b"/*%b*/" % part[4:])
            receiver.sendall(block)
        receiver.shutdown(socket.SHUT_RDWR)
