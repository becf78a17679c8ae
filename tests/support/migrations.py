"""Changes totesys as an administrator while the back office works: the schema, truncations, row-level security.

Each migration is one transaction of a client, or a part of one. Some leave an obstacle behind, which holds the
pipeline's runs until another migration removes it.
"""

from collections.abc import Callable, Sequence

from tests.support.back_office import Writer
from tests.support.oracle import SOURCE
from tests.support.pipeline import Pipeline

# More rows than the pipeline deletes without confirmation.
MANY = 130
# Lets migrations replace payment: no table owns its sequence, and `kept` has room for truncated payments.
PREPARATIONS = (
    "ALTER SEQUENCE payment_payment_id_seq OWNED BY NONE",
    "CREATE TABLE kept (LIKE payment INCLUDING ALL)",
)
# Payments that belong to no order.
_STAMP = "TIMESTAMP '2024-11-18 09:30:00.123'"
MANY_PAYMENTS = (
    f"INSERT INTO transaction (transaction_type, last_updated) SELECT 'SALE', {_STAMP} FROM generate_series(1, {MANY})",
    "INSERT INTO payment (transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, "
    "payment_date, company_ac_number, counterparty_ac_number, last_updated) "
    f"SELECT transaction_id, 1, 5, 1, 1, false, '2024-12-02', 1, 2, {_STAMP} FROM transaction",
)
# Columns that can exchange their names, because both have the same type and no default.
_ALIKE = (
    ("design", "file_location", "file_name"),
    ("staff", "first_name", "last_name"),
    ("address", "address_line_2", "district"),
    ("sales_order", "agreed_delivery_date", "agreed_payment_date"),
)
# Columns that can be dropped and added again with a default, which old rows get without a rewrite.
_REMADE = (
    ("design", "file_location", "text NOT NULL DEFAULT '/made again {}'"),
    ("department", "location", "text DEFAULT 'Köln {}'"),
    ("staff", "email_address", "text NOT NULL DEFAULT '{}@totes'"),
    ("purchase_order", "item_code", "text NOT NULL DEFAULT 'made again {}'"),
)
_RETYPED = (
    ("purchase_order", "item_code", "'retyped {}'"),
    ("address", "city", "left(city, 8) || '{}'"),
    ("staff", "first_name", "first_name"),
    ("payment", "paid", "payment_id % 10 = {}"),
)
_REWRITTEN = ("payment", "sales_order", "transaction", "address")
_INDEXED = ("payment", "design", "staff")
_SECURED = ("payment", "staff", "sales_order", "currency")
# Tables to which payments refer and from which somebody may delete rows.
_REFERRED = ("transaction", "counterparty")
# The purchase orders and the tables that refer to them, in the order of insertion.
_DEALS = ("purchase_order", "transaction", "payment")
_AWAY = "_away"
OBSTACLES = f"""
SELECT 'AccessDenied' FROM pg_class WHERE relrowsecurity AND relkind = 'r'
UNION SELECT 'ContractViolation' FROM pg_attribute WHERE attname LIKE '%{_AWAY}' AND NOT attisdropped
UNION SELECT 'ContractViolation' FROM pg_enum WHERE enumlabel LIKE '%{_AWAY}'
UNION SELECT 'SourceBusy'
FROM pg_locks
JOIN pg_database ON pg_database.oid = pg_locks.database
WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation' AND datname = current_database()
"""


def obstacles(pipeline: Pipeline) -> set[str]:
    """Returns the errors with which a run may end in totesys' present state."""
    return {name for (name,) in pipeline.totesys(OBSTACLES)}


def prepare_or_swap(client: Writer, number: int) -> None:
    """Prepares a copy of payment with different values. If one exists already, renames it into place."""
    if not _exists(client, "prepared"):
        client.run("CREATE TABLE prepared (LIKE payment INCLUDING ALL)")
        _copy(client, "payment", "prepared")
        client.run(f"UPDATE prepared SET paid = NOT paid WHERE payment_id % 3 = {number % 3}")
        return
    client.run("LOCK TABLE payment IN ACCESS EXCLUSIVE MODE")
    _forget_orphans(client, "prepared")
    _reprice(client, "prepared")
    for table in _REFERRED:
        client.run(f"ALTER TABLE prepared ADD FOREIGN KEY ({table}_id) REFERENCES {table}")
    client.run("DROP TABLE payment")
    client.run("ALTER TABLE prepared RENAME TO payment")


def exchange_columns(client: Writer, number: int) -> None:
    table, one, other = _ALIKE[number % len(_ALIKE)]
    for old, new in ((one, "held"), (other, one), ("held", other)):
        client.run(f"ALTER TABLE {table} RENAME {old} TO {new}")


def make_column_again(client: Writer, number: int) -> None:
    table, column, declared = _REMADE[number % len(_REMADE)]
    client.run(f"ALTER TABLE {table} DROP COLUMN {column}")
    client.run(f"ALTER TABLE {table} ADD COLUMN {column} {declared.format(number)}")


def exchange_labels(client: Writer, _number: int) -> None:
    """Exchanges two labels of an enum, and so the stored values."""
    for old, new in (("SALES_RECEIPT", "held"), ("SALES_REFUND", "SALES_RECEIPT"), ("held", "SALES_REFUND")):
        _rename_label(client, old, new)


def rewrite(client: Writer, number: int) -> None:
    """Adds a column whose default differs by row, and drops the column that it added before."""
    table = _REWRITTEN[number % len(_REWRITTEN)]
    client.run(f"ALTER TABLE {table} DROP COLUMN IF EXISTS trace")
    client.run(f"ALTER TABLE {table} ADD COLUMN trace uuid NOT NULL DEFAULT gen_random_uuid()")


def retype(client: Writer, number: int) -> None:
    table, column, value = _RETYPED[number % len(_RETYPED)]
    kind = "boolean" if column == "paid" else "text"
    client.run(f"ALTER TABLE {table} ALTER {column} TYPE {kind} USING {value.format(number)}")


def index(client: Writer, number: int) -> None:
    """Makes or drops an index, which changes no value."""
    table = _INDEXED[number % len(_INDEXED)]
    if _exists(client, f"{table}_stamped"):
        client.run(f"DROP INDEX {table}_stamped")
    else:
        client.run(f"CREATE INDEX {table}_stamped ON {table} (last_updated)")


def empty(client: Writer, _number: int) -> None:
    """Truncates the payments; `refill` can bring them back."""
    client.run("LOCK TABLE payment IN ACCESS EXCLUSIVE MODE")
    _copy(client, "payment", "kept")
    client.run("TRUNCATE payment")


def refill(client: Writer, _number: int) -> None:
    """Brings the truncated payments back, except those whose referenced rows are gone."""
    client.run("LOCK TABLE payment IN EXCLUSIVE MODE")
    _forget_orphans(client, "kept")
    _copy(client, "kept", "payment")
    _reprice(client, "payment")
    client.run("TRUNCATE kept")


def reload_payments(client: Writer, number: int) -> None:
    """Truncates the payments and loads them again, some of them with changes."""
    _reload(client, ("payment",))
    if number > 4:
        client.run(f"UPDATE payment SET paid = NOT paid WHERE payment_id % 5 = {number % 5}")


def reload_deals(client: Writer, _number: int) -> None:
    """Truncates three tables and loads them again with the same rows."""
    _reload(client, _DEALS)


def secure(client: Writer, number: int) -> None:
    """Hides some or all rows of a table from the pipeline's user."""
    table = _SECURED[number % len(_SECURED)]
    if number > 5:
        client.run(f"DROP POLICY IF EXISTS some ON {table}")
        client.run(f"CREATE POLICY some ON {table} USING ({table}_id % 2 = {number % 2})")
    client.run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")


def unsecure(client: Writer, _number: int) -> None:
    for (table,) in client.run("SELECT relname FROM pg_class WHERE relrowsecurity"):
        client.run(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


def take_away(client: Writer, number: int) -> None:
    """Renames a column, or a label in use, to a name that no contract declares."""
    if number < 5:
        client.run(f"ALTER TABLE design RENAME file_name TO file_name{_AWAY}")
    else:
        _rename_label(client, "SALES_RECEIPT", f"SALES_RECEIPT{_AWAY}")


def bring_back(client: Writer, _number: int) -> None:
    for (column,) in client.run(f"SELECT attname FROM pg_attribute WHERE attname LIKE '%{_AWAY}' AND NOT attisdropped"):
        client.run(f"ALTER TABLE design RENAME {column} TO {column.removesuffix(_AWAY)}")
    for (label,) in client.run(f"SELECT enumlabel FROM pg_enum WHERE enumlabel LIKE '%{_AWAY}'"):
        _rename_label(client, label, label.removesuffix(_AWAY))


# By its name in the tally of moves; each takes a client and a number below ten.
MIGRATIONS: dict[str, Callable[[Writer, int], None]] = {
    "prepared tables": prepare_or_swap,
    "columns exchanged": exchange_columns,
    "columns made again": make_column_again,
    "labels exchanged": exchange_labels,
    "rewrites": rewrite,
    "columns retyped": retype,
    "indexes": index,
    "truncations": empty,
    "refills": refill,
    "reloads of payment": reload_payments,
    "reloads of three tables": reload_deals,
    "row security on": secure,
    "row security off": unsecure,
    "names taken away": take_away,
    "names brought back": bring_back,
}
# {error that holds a run: migration that removes the obstacle}
REMOVALS = {"AccessDenied": "row security off", "ContractViolation": "names brought back"}


def _reload(client: Writer, tables: Sequence[str]) -> None:
    client.run(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
    for table in tables:
        client.run(f"CREATE TEMP TABLE reload_{table} ON COMMIT DROP AS SELECT * FROM {table}")
    client.run(f"TRUNCATE {', '.join(tables)}")
    for table in tables:
        _copy(client, f"reload_{table}", table, SOURCE[table])


def _copy(client: Writer, source: str, target: str, names: Sequence[str] = SOURCE["payment"]) -> None:
    columns = ", ".join(names)
    client.run(f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source} ON CONFLICT DO NOTHING")


def _forget_orphans(client: Writer, payments: str) -> None:
    """Deletes the table's payments that refer to deleted rows."""
    for table in _REFERRED:
        client.run(
            f"DELETE FROM {payments} WHERE NOT EXISTS "
            f"(SELECT FROM {table} WHERE {table}.{table}_id = {payments}.{table}_id)"
        )


def _reprice(client: Writer, payments: str) -> None:
    """Updates the table's payments to the orders' present prices."""
    client.run(
        f"UPDATE {payments} SET payment_amount = units_sold * unit_price FROM sales_order, transaction "
        f"WHERE {payments}.transaction_id = transaction.transaction_id "
        "AND transaction.sales_order_id = sales_order.sales_order_id AND payment_amount <> units_sold * unit_price"
    )


def _rename_label(client: Writer, old: str, new: str) -> None:
    # RENAME VALUE takes no lock itself, so a session that reads the table meanwhile would see the label change.
    client.run("LOCK TABLE payment_type IN ACCESS EXCLUSIVE MODE")
    client.run(f"ALTER TYPE \"PaymentTypeName\" RENAME VALUE '{old}' TO '{new}'")


def _exists(client: Writer, relation: str) -> bool:
    return client.run("SELECT to_regclass(%s) IS NOT NULL", relation) == [[True]]
