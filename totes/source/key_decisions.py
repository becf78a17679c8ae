"""Decides which keys of a table are new or gone, and which rows are quarantined.

Pure functions over plain values and keys: no database, no clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from totes.contracts.declarations import SourceTable
from totes.lake.keys import Keys
from totes.source.extract import Extracted
from totes.source.quarantine import Quarantine

# Which rows are quarantined.


@dataclass(frozen=True)
class Examined:
    """The rows that the batch before left in quarantine, after Ingest has examined them again.

    Attributes:
        before: all of them.
        kept: those that have not changed. Only these stay in quarantine.
        again: the keys of the others that are still there. Ingest reads these again.
    """

    before: Quarantine
    kept: Quarantine
    again: tuple[int, ...]


def examined(before: Quarantine, found: Extracted) -> Examined:
    """Returns which rows stay in quarantine.

    Args:
        found: the rows with their keys, as they are now.
    """
    still = {row.business_id: replace(row, known=before[row.business_id].known) for row in found.quarantined}
    kept = {key: row for key, row in still.items() if row == before[key]}
    return Examined(before, kept, tuple(sorted(set(found.keys.to_pylist()) - kept.keys())))


def quarantine_after(of: Examined, read: Extracted, known: Keys) -> Quarantine:
    """Returns the rows that are quarantined now: those kept and not read again, and those read that are wrong.

    Args:
        known: the keys that the batch before knew.
    """
    keys = read.keys.having(of.kept) if of.kept else set()
    after = {key: row for key, row in of.kept.items() if key not in keys}
    landed = known.having(row.business_id for row in read.quarantined) if read.quarantined else set()
    for row in read.quarantined:
        key = row.business_id
        after[key] = replace(row, known=of.before[key].known if key in of.before else key in landed)
    return after


def unavailable(
    table: SourceTable, joined: Collection[str], quarantine: Mapping[str, Quarantine]
) -> dict[str, pa.Array]:
    """Returns, by column, the keys of quarantined rows to which no row may refer.

    Rows may refer to a quarantined row that has an earlier version in the warehouse. A row that the warehouse joins
    with it may not.

    Args:
        joined: the tables that this one is joined with.
        quarantine: the quarantined rows of each table.
    """
    found = {}
    for column in table.columns:
        rows = quarantine.get(column.references or "", {})
        if keys := [key for key, row in rows.items() if column.references in joined or not row.known]:
            found[column.name] = pa.array(keys)
    return found


# Which keys are new or gone.


@dataclass(frozen=True)
class KeyChange:
    """The change of a table's keys: `live` is the known keys, plus those that came, minus those that are gone.

    Attributes:
        came: the keys that the batch before did not know.
        gone: the keys that it knew and that are no longer there.
        live: all keys that are there.
    """

    came: Keys
    gone: Keys
    live: Keys

    def differ_from(self, known: int | None) -> bool:
        """Returns whether the keys differ from those that the batch before knew.

        Args:
            known: how many it knew; None if it did not have the table.
        """
        return known is None or len(self.came) > 0 or len(self.live) != known


def expected_keys(known: Keys, came: Keys, read: Keys, *, in_full: bool) -> Keys:
    """Returns the keys that a table has if none is gone."""
    return read if in_full else known.plus(came)


def key_change(known: Keys, came: Keys, live: Keys, rows: int) -> KeyChange | None:
    """Returns the change of a table's keys; None if it does not explain the table's row count.

    Args:
        known: the keys that the batch before knew.
        came: the keys that were read and that the batch before did not know.
        live: the keys that are there.
        rows: how many rows the table has.
    """
    if rows != len(live):
        # The fence missed rows, or the keys came from an index that lacks some.
        return None
    gone = known.minus(live) if len(live) < len(known) + len(came) else known.none()
    if len(live) != len(known) + len(came) - len(gone):
        # More keys are gone than the row count shows, because the fence missed as many new ones.
        return None
    return KeyChange(came, gone, live)


def tombstones(gone: Keys, quarantined_before: Quarantine) -> Keys:
    """Returns the keys that are gone, except those of quarantined rows that were never landed."""
    unheard = gone.none()
    unheard.add(pa.array([key for key, row in quarantined_before.items() if not row.known], gone.kind))
    return gone.minus(unheard)
