"""Simulates the back office at work on totesys: several clients at once, each in a transaction of any length.

If another client holds something that a client needs, the client gives up: its transaction is rolled back.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pg8000.dbapi

from tests.support.oracle import SOURCE
from tests.support.pipeline import Pipeline

STAMPS = "TIMESTAMP '2024-11-18 09:30:00.123', TIMESTAMP '2024-11-18 09:30:00.123'"
FOUNDATION = (
    f"INSERT INTO currency VALUES (1, 'GBP', {STAMPS}), (2, 'USD', {STAMPS})",
    f"INSERT INTO payment_type VALUES (1, 'SALES_RECEIPT', {STAMPS}), (3, 'PURCHASE_PAYMENT', {STAMPS})",
    *(
        f"INSERT INTO {table} ({columns}, created_at, last_updated) SELECT {values}, {STAMPS} "
        "FROM generate_series(1, 2) AS n"
        for table, columns, values in (
            ("address", "address_line_1, city, postal_code, country, phone", "'L', 'C' || n, '08841', 'K', '1'"),
            ("department", "department_name", "'D' || n"),
            ("design", "design_name, file_location, file_name", "'Bronze', '/', n || '.json'"),
            ("counterparty", "counterparty_legal_name, legal_address_id", "'P', n"),
            ("staff", "first_name, last_name, department_id, email_address", "'A', 'B', n, ''"),
        )
    ),
)
# Values to write into a row without touching last_updated, for a number below ten.
AMENDMENTS = {
    "sales_order": "agreed_delivery_date = '2025-01-1{}'",
    "purchase_order": "item_code = 'code {}'",
    "payment": "paid = {} > 4",
    "design": "file_location = '/{}'",
    "staff": "email_address = '{}@totes', department_id = (SELECT min(department_id) FROM department)",
    "address": "address_line_2 = nullif('{}', '3')",
    "counterparty": "counterparty_legal_name = 'Zoë {}'",
    "department": "department_name = 'D{}'",
}
_REFERRING = {
    "design": ("sales_order.design_id",),
    "staff": ("sales_order.staff_id", "purchase_order.staff_id"),
    "department": ("staff.department_id",),
    "counterparty": ("sales_order.counterparty_id", "purchase_order.counterparty_id", "payment.counterparty_id"),
    "transaction": ("payment.transaction_id",),
    "payment": (),
    # A transaction that refers to an order does not prevent its deletion: it loses the reference.
    "sales_order": (),
    "purchase_order": (),
}


class Writer:
    """One client. Its server lets no session wait long for a lock.

    Attributes:
        savepoints: the number of the transaction's savepoints.
        committed: how often each change was committed, by its name.
    """

    def __init__(self, pipeline: Pipeline, deleted: list[tuple[str, list[Any]]]) -> None:
        self._pipeline = pipeline
        self._deleted = deleted
        self.committed: Counter[str] = Counter()
        self._connect()

    def close(self) -> None:
        """Closes the connection, even if the server is gone already."""
        with suppress(pg8000.dbapi.Error, OSError):
            self._connection.close()

    def reconnect(self) -> None:
        """Connects again after a restart of the server. The open transaction is lost."""
        self.close()
        self._connect()

    def begin(self) -> None:
        """Gets a transaction id for the client, which holds the fence back from now on."""
        self.run("SELECT pg_current_xact_id()")

    def end(self, *, commit: bool, durable: bool = True) -> None:
        """Ends the transaction, if there is one.

        Args:
            durable: whether the commit waits until a crash of the server can't undo it.
        """
        if commit:
            if not durable:
                self.run("SET LOCAL synchronous_commit = off")
            self._connection.commit()
            self.committed.update(self._changes)
        else:
            self._connection.rollback()
        self._begin_anew()

    def set_savepoint(self) -> None:
        self.savepoints += 1
        self.run(f"SAVEPOINT s{self.savepoints}")

    def go_back(self) -> None:
        """Rolls back to the last savepoint, which stays."""
        if self.savepoints:
            self.run(f"ROLLBACK TO SAVEPOINT s{self.savepoints}")

    def write(self, change: str, number: int) -> None:
        """Makes one of CHANGES to the row that a number below ten picks, if it exists and no other client holds it."""
        self.attempt(change, lambda: CHANGES[change](self, number))

    def attempt(self, name: str, change: Callable[[], object]) -> None:
        """Makes a change; rolls everything back if another client is in its way."""
        try:
            change()
            self._changes.append(name)
        except pg8000.dbapi.DatabaseError:
            self.end(commit=False)

    def _connect(self) -> None:
        self._connection = self._pipeline.server(self._pipeline.source).connect(self._pipeline.source)
        self._cursor = self._connection.cursor()
        # Overrides the database's default.
        self._cursor.execute("SET DateStyle = 'ISO, YMD'")
        self._connection.commit()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.savepoints = 0
        self._changes: list[str] = []

    def sell(self, number: int) -> None:
        """Inserts an order, its transaction and its payment, which is units times price."""
        columns = "design_id, staff_id, counterparty_id, agreed_delivery_location_id, units_sold, unit_price"
        parties = [self._any(table, number) for table in ("design", "staff", "counterparty", "address")]
        if None not in parties:
            self._deal("sales_order", columns, parties, number, "SALE")

    def buy(self, number: int) -> None:
        columns = "item_code, staff_id, counterparty_id, agreed_delivery_location_id, item_quantity, item_unit_price"
        parties = [self._any(table, number) for table in ("staff", "counterparty", "address")]
        if None not in parties:
            self._deal("purchase_order", columns, ["code", *parties], number, "PURCHASE")

    def reprice(self, number: int) -> None:
        """Changes an order's units and its payment; last_updated stays the same."""
        order = self._locked("sales_order", self._any("sales_order", number))
        if order is not None:
            self.run("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = %s", order)
            self.run(
                "UPDATE payment SET payment_amount = units_sold * unit_price FROM sales_order, transaction "
                "WHERE payment.transaction_id = transaction.transaction_id "
                "AND transaction.sales_order_id = sales_order.sales_order_id AND sales_order.sales_order_id = %s",
                order,
            )

    def add(self, table: str, number: int) -> None:
        """Inserts a row into a table that orders refer to, similar to an existing one."""
        if (like := self._any(table, number)) is not None:
            columns = ", ".join(SOURCE[table][1:])
            self.run(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} WHERE {table}_id = %s", like)

    def amend(self, table: str, number: int) -> None:
        self._update(table, number, AMENDMENTS[table].format(number))

    def stamp(self, table: str, number: int) -> None:
        """Amends a row and moves last_updated."""
        self._update(table, number, f"{AMENDMENTS[table].format(number)}, last_updated = last_updated + interval '1 s'")

    def touch(self, table: str, number: int) -> None:
        """Updates a row without changing a value."""
        self._update(table, number, "created_at = created_at")

    def delete(self, table: str, number: int) -> None:
        """Deletes a row to which no other refers."""
        free = " AND ".join(
            f"NOT EXISTS (SELECT FROM {other.partition('.')[0]} WHERE {other} = {table}.{table}_id)"
            for other in _REFERRING[table]
        )
        row = self._locked(table, self._any(table, number, free or "true"), "UPDATE")
        if row is not None:
            columns = ", ".join(SOURCE[table])
            (values,) = self.run(f"DELETE FROM {table} WHERE {table}_id = %s RETURNING {columns}", row)
            self._deleted.append((table, values))

    def restore(self, number: int) -> None:
        """Inserts a deleted row again, as it was."""
        if self._deleted:
            table, values = self._deleted[number % len(self._deleted)]
            columns, places = ", ".join(SOURCE[table]), ", ".join(["%s"] * len(values))
            self.run(f"INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING", *values)

    def _deal(self, table: str, columns: str, parties: list[Any], number: int, kind: str) -> None:
        places = ", ".join(["%s"] * len(parties))
        ((order,),) = self.run(
            f"INSERT INTO {table} ({columns}, currency_id, agreed_delivery_date, agreed_payment_date, last_updated) "
            f"VALUES ({places}, {1000 + number}, 2.50, 1, '2024-12-01', '2024-12-02', '2024-11-18') "
            f"RETURNING {table}_id",
            *parties,
        )
        ((transaction,),) = self.run(
            f"INSERT INTO transaction (transaction_type, {table}_id, last_updated) "
            f"VALUES ('{kind}', %s, '2024-11-18') RETURNING transaction_id",
            order,
        )
        self.run(
            "INSERT INTO payment (transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, "
            "payment_date, company_ac_number, counterparty_ac_number, last_updated) "
            f"VALUES (%s, %s, {1000 + number} * 2.50, 1, %s, false, '2024-12-02', 1, 2, '2024-11-18')",
            transaction,
            parties[2],
            1 if kind == "SALE" else 3,
        )

    def _update(self, table: str, number: int, assignments: str) -> None:
        row = self._locked(table, self._any(table, number))
        if row is not None:
            self.run(f"UPDATE {table} SET {assignments} WHERE {table}_id = %s", row)

    def _any(self, table: str, number: int, where: str = "true") -> int | None:
        rows = self.run(f"SELECT {table}_id FROM {table} WHERE {where} ORDER BY 1")
        return rows[number % len(rows)][0] if rows else None

    def _locked(self, table: str, key: int | None, strength: str = "NO KEY UPDATE") -> int | None:
        found = self.run(f"SELECT {table}_id FROM {table} WHERE {table}_id = %s FOR {strength} SKIP LOCKED", key)
        return key if found else None

    def run(self, statement: str, *values: object) -> list[list[Any]]:
        self._cursor.execute(statement, values)
        return list(self._cursor.fetchall()) if self._cursor.description else []


# By a rule's name; each takes a writer and a number below ten.
CHANGES: dict[str, Callable[[Writer, int], None]] = {
    "sell": Writer.sell,
    "buy": Writer.buy,
    "reprice": Writer.reprice,
    "restore": Writer.restore,
    **{
        f"{name} {table}": lambda writer, number, change=change, table=table: change(writer, table, number)
        for name, change, tables in (
            ("add", Writer.add, ("design", "staff", "address", "department", "counterparty")),
            ("amend", Writer.amend, AMENDMENTS),
            ("stamp", Writer.stamp, ("payment", "sales_order", "design")),
            ("touch", Writer.touch, ("payment", "purchase_order", "staff")),
            ("delete", Writer.delete, _REFERRING),
        )
        for table in tables
    },
}
