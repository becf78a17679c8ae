"""Values of totesys that their contract does not allow."""

from dataclasses import dataclass

from totes.contracts.declarations import SourceTable
from totes.errors import SHOWN, ContractViolation

# Quarantine is for a few bad rows among good ones. With more violations than this, the table itself is wrong.
MOST = 10_000


@dataclass(frozen=True)
class Violation:
    """One value that its contract does not allow. `key` is None if the key itself can't be read."""

    table: str
    key: object
    column: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.column} is {self.found}, expected {self.expected}"


def repeated_key(table: SourceTable, key: int | None, rows: int) -> Violation:
    """Returns the violation of a key that more than one row has."""
    return Violation(table.name, key, table.key, "one row with that key", f"that of {rows} rows")


def raise_if_any(violations: list[Violation]) -> None:
    """Raises ContractViolation if there is a violation; the message shows the first five."""
    if not violations:
        return
    shown = "; ".join(str(violation) for violation in violations[:SHOWN])
    more = f"; and {len(violations) - SHOWN} more" if len(violations) > SHOWN else ""
    raise ContractViolation(
        f"totesys holds what schemas/source/{violations[0].table}.toml does not allow: {shown}{more}.",
        "Correct the rows in totesys, or change the declaration and deploy; the next run takes them up.",
    )
