"""Decides which rows of totesys to read, and whether they add anything to the batch before.

Pure functions over plain values: no database, no file, no clock. changes.py reads the rows that they ask for.
key_decisions.py decides about keys and quarantine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from totes.contracts.declarations import SourceTable
from totes.errors import SourceBusy
from totes.lake.manifest import Manifest
from totes.postgres.catalogue import CatalogueTable, relations_to_read
from totes.postgres.position import SourcePosition
from totes.source.fence import reason_to_read_all
from totes.source.windows import Count, Window, Windows

ASKED_FOR = "asked for by the execution's input"
UNEXPLAINED = "it holds rows that the fence did not show"
UPGRADED = "the last batch was landed by an earlier release"
RESTRUCTURED = "its relation, columns or labels have changed since the last batch"


# Rows to read.


@dataclass(frozen=True)
class Scope:
    """The scope of a run, from the batch before, the catalogue and the execution's input.

    Attributes:
        fence: in a table that is not read in full, rows that are not older than this id are new.
        unfenced: why the fence of the batch before can't be used for any table; None if it can.
        full_read: the tables to read in full, each with the reason.
        relations: by table, the object ids of its relations that were attached or changed since the batch before.
    """

    fence: int | None
    unfenced: str | None
    full_read: Mapping[str, str]
    relations: Mapping[str, tuple[str, ...]]


def scope_of(
    tables: Mapping[str, SourceTable],
    previous: Manifest | None,
    position: SourcePosition,
    catalogue: Mapping[str, CatalogueTable],
    asked_for: tuple[str, ...],
) -> Scope:
    """Returns the tables to read in full, with the reasons, and the relations of other tables to read in full.

    Args:
        tables: the declared tables.
        position: where totesys stands now.
        catalogue: the declared tables as the catalogue shows them now.
        asked_for: the tables that the execution's input names.

    Raises:
        SourceLagging: totesys is a standby that has not replayed all that the batch before saw.
    """
    before = previous.source if previous else None
    # A request for everything needs no fence, so it works even if the fence can't be used.
    everything = set(asked_for) >= tables.keys()
    unfenced = None if before and everything else reason_to_read_all(before, position)
    relations = {name: _changed_relations(previous, catalogue[name]) for name in tables}
    if unfenced:
        reasons = dict.fromkeys(tables, unfenced)
    else:
        found = {name: _reason_of_structure(table, previous, catalogue[name]) for name, table in tables.items()}
        reasons = {name: reason for name, reason in found.items() if reason} | dict.fromkeys(asked_for, ASKED_FOR)
    return Scope(before.fence if before else None, unfenced, reasons, relations)


def once_more(scope: Scope, table: str) -> Scope:
    """Returns the scope of a second attempt, which reads in full the table whose row count the first can't explain.

    Raises:
        SourceBusy: that table was read in full already.
    """
    if scope.full_read.get(table) == UNEXPLAINED:
        raise SourceBusy(
            f"{table} of totesys was altered while it was read: its row counts differed.",
            "Nothing to do unless it lasts: then find what attaches and detaches its partitions.",
        )
    return replace(scope, full_read={**scope.full_read, table: UNEXPLAINED})


def window_of(scope: Scope, table: str, again: tuple[int, ...]) -> Window:
    """Returns which rows of a table are read.

    Args:
        again: the keys of quarantined rows to read again.
    """
    if table in scope.full_read:
        return Window(None, again)
    return Window(scope.fence, again, scope.relations[table])


def beginning(windows: Windows, counts: Mapping[str, Count]) -> Windows:
    """Returns the windows, each with the place of the first row that it takes."""
    return {name: replace(window, begin=counts[name].first_new) for name, window in windows.items()}


def is_due(table: str, partners: Iterable[str], scope: Scope, counts: Mapping[str, Count]) -> bool:
    """Returns whether a table must be read, because it or a table that is joined with it has new rows."""
    return table in scope.full_read or any(counts[name].first_new for name in (table, *partners))


def _reason_of_structure(table: SourceTable, previous: Manifest | None, now: CatalogueTable) -> str | None:
    """Returns why all stored rows may have other values than before, though none is new; None if none may."""
    if previous is None:
        return None
    before = set(previous.columns.get(table.name, ()))
    declared = [column.name for column in table.columns]
    if new := [name for name in declared if name not in before]:
        return f"newly declared: {', '.join(new)}"
    if left := sorted(before - set(declared)):
        return f"no longer declared: {', '.join(left)}"
    if previous.structure is None:
        return UPGRADED
    changed = _changed_relations(previous, now)
    return RESTRUCTURED if changed and changed == now.holding else None


def _changed_relations(previous: Manifest | None, now: CatalogueTable) -> tuple[str, ...]:
    """Returns a table's relations that were attached or changed since the batch before."""
    if previous is None or previous.structure is None:
        return ()
    return relations_to_read(previous.structure.get(now.name, {}), now)


def are_as_before(known: int | None, read: int, rows: int) -> bool:
    """Returns whether a table has the same keys as before, from row counts alone.

    A new key always belongs to a row that was read, and no two rows have the same key. So the row counts show exactly
    whether any key is gone. The keys themselves are fetched only if one is.

    Args:
        known: how many keys the batch before knew; None if it did not have the table.
        read: how many rows were read.
        rows: how many rows the table has.
    """
    return known is not None and not read and rows == known


# Whether a batch is due.


def is_news(
    scope: Scope,
    previous: Manifest | None,
    data: Mapping[str, str],
    *,
    deleted: bool,
    quarantine_changed: bool,
) -> bool:
    """Returns whether a batch is due, because the run has read more than the batch before holds.

    While a long-running transaction of totesys holds the fence back, Ingest reads the same rows again; they create no
    batch. A batch is also due if the old fence can't be used, because a batch brings a new one, or if somebody asked
    for one.

    Args:
        data: the sha256 of the rows that were read, by table.
        deleted: whether any key is gone.
        quarantine_changed: whether other rows are quarantined than before, or the same rows for other reasons.
    """
    if previous is None or scope.unfenced or {ASKED_FOR, UPGRADED} & set(scope.full_read.values()):
        return True
    if deleted or quarantine_changed or any(scope.relations.values()):
        return True
    # The first batch has a file for every table, even an empty one.
    said = {table: stored.sha256 for table, stored in previous.objects("data").items() if stored.rows}
    return bool(data) and data != said
