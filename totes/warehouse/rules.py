"""Checks the warehouse's rules inside Load's transaction.

The declarations in schemas/ give the keys, references and accepted values. A check beside the table states any other
rule. A broken rule stops the batch; the error names the rule, the table and the keys.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from totes.contracts.arrow import arrow_type
from totes.contracts.declarations import Check, WarehouseTable, warehouse_tables
from totes.errors import SHOWN, ContractViolation
from totes.lake.keys import Keys
from totes.postgres.connection import quoted
from totes.warehouse.warehouse import Warehouse

_CORRECT = (
    "Correct the rows in totesys: the next run loads the correction in one transaction with this batch. If the rule is "
    "what is wrong, change schemas/warehouse/{table}.toml and deploy."
)
# Ingest lets no such row pass, so somebody made it afterwards.
_RESTORE = (
    "totesys is not at fault: somebody has changed the lake or the warehouse. Restore the object's first version in "
    "S3, or the row in the warehouse by `totes replay --swap`; the next execution resumes there."
)


@dataclass(frozen=True)
class Broken:
    """A rule, and the rows that break it.

    Attributes:
        ids: the business ids of some of these rows.
        rows: how many rows break the rule.
    """

    table: str
    rule: str
    meaning: str
    ids: tuple[object, ...]
    rows: int

    def __str__(self) -> str:
        more = f" and {self.rows - len(self.ids)} more" if self.rows > len(self.ids) else ""
        ids = ", ".join(map(str, self.ids))
        return f"{self.table} breaks the rule `{self.rule}` ({self.meaning.rstrip('.')}): {ids}{more}"


def broken_check(broken: list[Broken]) -> ContractViolation:
    """Returns the error of a batch in which rows of totesys contradict each other."""
    return _error(broken, _CORRECT.format(table=broken[0].table))


class StagedRows:
    """Checks a table's rows by themselves, while they are staged.

    Args:
        folder: holds the file of the rows' keys.
    """

    def __init__(self, table: WarehouseTable, folder: Path) -> None:
        self._table = table
        self._keys = Keys(folder, arrow_type(table.column(table.identity)))
        self._unaccepted: dict[str, list[object]] = {}

    def see(self, rows: pa.RecordBatch) -> None:
        """Notes the keys and the wrong values of some rows."""
        keys = rows.column(self._table.identity)
        self._keys.add(keys)
        for column in self._table.data_columns:
            if column.values and column.name in rows.schema.names:
                values = rows.column(column.name)
                accepted = pa.array([*column.values, None] if column.nullable else column.values, values.type)
                wrong = pc.invert(pc.is_in(values, value_set=accepted))
                self._unaccepted.setdefault(column.name, []).extend(keys.filter(wrong).to_pylist())

    def check(self) -> None:
        """Checks that no two rows have the same key, and that all values are accepted.

        Raises:
            ContractViolation: names the rule, the table and the keys.
        """
        if broken := [*self._repeated_keys(), *self._unaccepted_values()]:
            raise _error(broken, _RESTORE)

    def _repeated_keys(self) -> Iterator[Broken]:
        if wrong := self._keys.repeated():
            yield self._broken(self._table.identity, "Each row has one of its own", list(wrong))

    def _unaccepted_values(self) -> Iterator[Broken]:
        for name, wrong in self._unaccepted.items():
            if wrong:
                yield self._broken(name, f"One of {', '.join(self._table.column(name).values)}", wrong)

    def _broken(self, rule: str, meaning: str, wrong: list[object]) -> Broken:
        return Broken(self._table.name, rule, meaning, tuple(wrong[:SHOWN]), len(wrong))


def check_references(warehouse: Warehouse, table: WarehouseTable, staging: str) -> None:
    """Finds the staged rows that refer to nothing.

    Raises:
        ContractViolation: there are such rows. It names the rule, the table and the keys.
    """
    broken = []
    for column in table.data_columns:
        if not column.references:
            continue
        referenced = warehouse_tables()[column.references]
        rows = warehouse.execute(
            "unresolved",
            {"shown": SHOWN},
            identity=quoted(table.identity),
            column=quoted(column.name),
            staging=staging,
            referenced=warehouse.star(referenced.name),
            referenced_key=quoted(referenced.key),
        ).all()
        if rows:
            missing = ", ".join(sorted({str(row.reference) for row in rows}))
            meaning = f"What {column.name} refers to is in {referenced.name}, which lacks {missing}"
            ids = tuple(row.business_id for row in rows)
            broken.append(Broken(table.name, column.name, meaning, ids, rows[0].broken))
    if broken:
        raise _error(broken, _RESTORE)


def record_ids(warehouse: Warehouse) -> Mapping[str, int]:
    """Returns the highest record id of each fact that has checks."""
    ids = {}
    for table in warehouse_tables().values():
        if table.checks:
            newest = warehouse.scalar("newest", key=quoted(table.key), table=warehouse.star(table.name))
            ids[table.name] = newest or 0
    return ids


def record_ids_before(warehouse: Warehouse, batch: int) -> Mapping[str, int]:
    """Returns the highest record id before a batch, of each fact that has checks and has got rows since."""
    ids = {}
    for table in warehouse_tables().values():
        if table.checks:
            last = warehouse.scalar("newest_before", {"name": table.name, "batch": batch})
            if last is not None:
                ids[table.name] = last
    return ids


def broken_since(warehouse: Warehouse, before: Mapping[str, int]) -> list[Broken]:
    """Returns the checks that newer rows break: rows with record ids above the given ones."""
    found = []
    for name, since in before.items():
        table = warehouse_tables()[name]
        for check in table.checks:
            values = {"name": name, "since": since, "shown": SHOWN}
            rows = warehouse.connection.execute(violators(warehouse, table, check), values).all()
            if rows:
                ids = tuple(row.business_id for row in rows)
                found.append(Broken(name, check.name, check.rule, ids, rows[0].broken))
    return found


def violators(warehouse: Warehouse, table: WarehouseTable, check: Check) -> str:
    """Returns the query for the rows that break a check."""
    return warehouse.statement(
        "breaks_rule",
        table=warehouse.star(table.name),
        key=quoted(table.key),
        identity=quoted(table.identity),
        breaks=warehouse.schemas.fill_in(check.breaks),
    )


def _error(broken: list[Broken], remedy: str) -> ContractViolation:
    return ContractViolation("; ".join(map(str, broken)) + ".", remedy).about({rule.table for rule in broken})
