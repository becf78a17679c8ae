"""Reads rows and keys of totesys in bulk, straight into typed Parquet."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial, reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from totes.contracts.declarations import Column, SourceTable
from totes.lake.keys import Keys
from totes.lake.parquet import Writer, keys_schema, landed_schema, parquet_writer
from totes.postgres.connection import quoted
from totes.runtime.overlap import Behind
from totes.source import fence
from totes.source.encodings import named_in_source
from totes.source.quarantine import QuarantinedRow, abridged, quarantine
from totes.source.snapshot import Snapshot
from totes.source.validation import repeated, too_long, unreadable, violations
from totes.source.violations import MOST, Violation, raise_if_any
from totes.source.windows import Windows, among, to_read

# Large enough for the parser and the compressor to work well, small enough for the memory: while one block arrives, a
# second is parsed and a third is written.
BLOCK_BYTES = 8 << 20
# The bytes that Arrow parses at once.
_CSV_BYTES = 1 << 20
# The first byte of the stand-in for a text that is too long. A random text follows it. This is newer than the snapshot,
# so no value of totesys begins with it. The byte is rare, so few blocks have to be searched for the rest.
_RARE = "\x01"
# A time zone or an inaccurate clock explains no timestamp that is further ahead of the server's clock than this.
CLOCKS_DIFFER = timedelta(days=1)


@dataclass(frozen=True)
class Extracted:
    """The result of reading a table.

    Attributes:
        keys: the keys of all rows that were read.
        quarantined: the rows among them that are quarantined, and so are not in the file.
        ahead: how many rows in the file have a timestamp in the future.
        latest: the latest of these timestamps; None if there are none.
    """

    keys: Keys
    quarantined: list[QuarantinedRow]
    ahead: int = 0
    latest: datetime | None = None

    @property
    def rows(self) -> int:
        """Returns how many rows the file has."""
        return len(self.keys) - len(self.quarantined)


def extract(
    taken: Snapshot, table: SourceTable, windows: Windows, path: Path, unavailable: Mapping[str, pa.Array]
) -> Extracted:
    """Writes the rows that a table's window takes, and those that are joined with new rows, to a Parquet file.

    Args:
        unavailable: by column, the keys of the referenced table that are quarantined.

    Raises:
        ContractViolation: a row breaks its contract, and may not be quarantined.
    """
    return _copy(taken, table, to_read(table, windows), path, unavailable)


def examine(
    taken: Snapshot, table: SourceTable, keys: tuple[int, ...], path: Path, unavailable: Mapping[str, pa.Array]
) -> Extracted:
    """Writes the rows with the given keys that are still there to a Parquet file.

    Raises:
        ContractViolation: a row breaks its contract, and may not be quarantined.
    """
    return _copy(taken, table, among(table, keys), path, unavailable)


def extract_range(
    taken: Snapshot, table: SourceTable, keys: tuple[int | None, int | None], older_than: int | None, path: Path
) -> Extracted:
    """Writes the rows in a range of keys to a Parquet file.

    Args:
        keys: the first key, and the first one after the range; None is unbounded.
        older_than: the fence that the rows must be older than; None takes all.

    Raises:
        ContractViolation: a row breaks its contract, and may not be quarantined.
    """
    key, (low, high) = quoted(table.name, table.key), keys
    conditions = [
        *([f"{key} >= {low:d}"] if low is not None else []),
        *([f"{key} < {high:d}"] if high is not None else []),
        *([f"NOT {fence.is_new(older_than, quoted(table.name))}"] if older_than is not None else []),
    ]
    return _copy(taken, table, " AND ".join(conditions) or "true", path, {})


def _copy(
    taken: Snapshot, table: SourceTable, condition: str, path: Path, unavailable: Mapping[str, pa.Array]
) -> Extracted:
    instead = _RARE + secrets.token_hex()
    values = ", ".join(_fetched(table, column, instead) for column in table.columns)
    query = f"SELECT {values} FROM public.{quoted(table.name)} AS {quoted(table.name)} WHERE {condition}"  # noqa: S608  names come from the contracts, keys are numbers
    latest_stamp = taken.taken_at.replace(tzinfo=None) + CLOCKS_DIFFER
    with (
        parquet_writer(path, landed_schema(table)) as writer,
        Behind() as behind,
        named_in_source(taken.connection, table, condition),
    ):
        rows = _Rows(table, writer, Keys(path.parent, keys_schema(table).types[0]), unavailable, latest_stamp, instead)
        sink = _Blocks(partial(behind.run, rows.take))
        taken.connection.execute(f"COPY ({query}) TO STDOUT (FORMAT csv)", stream=sink)
        sink.flush()
    return rows.extracted()


def read_keys(taken: Snapshot, table: SourceTable, folder: Path) -> Keys:
    """Reads all keys of a table into a file of a folder."""
    schema = keys_schema(table)
    keys = Keys(folder, schema.types[0])
    sink = _Blocks(lambda block, _longest: keys.add(_read_csv(block, schema).column(0)))
    # A query, because COPY of a table itself leaves out the rows of its partitions and of tables that inherit from it.
    query = f"SELECT {quoted(table.key)} FROM public.{quoted(table.name)}"  # noqa: S608  names come from the contracts
    taken.connection.execute(f"COPY ({query}) TO STDOUT (FORMAT csv)", stream=sink)
    sink.flush()
    return keys


def _fetched(table: SourceTable, column: Column, instead: str) -> str:
    """Returns SQL for a column's value, or for `instead` and the number of bytes if the text is too long.

    PostgreSQL keeps a long text's length in the row itself, so it measures the text without reading it.
    """
    name, limit = quoted(table.name, column.name), table.byte_limits.get(column.name)
    if limit is None:
        return name
    length = f"pg_catalog.octet_length({name})"
    return f"CASE WHEN {length} > {limit} THEN '{instead}' || {length} ELSE {name} END"


class _Blocks:
    """Collects the rows of a COPY into blocks of BLOCK_BYTES, or a little more.

    A block ends with the row that fills it, no matter how many rows arrive at once: the same rows must make the same
    file.

    Args:
        hand_over: takes a block, and an upper bound of its longest row's bytes.
    """

    def __init__(self, hand_over: Callable[[bytes, int], None]) -> None:
        self._hand_over = hand_over
        self._block: list[bytes] = []
        self._bytes = 0
        # The bytes of the longest row so far.
        self._longest = 0

    def write(self, row: bytes) -> None:
        """Takes a row. pg8000 refuses a stream without this method."""
        self.writelines([row])

    def writelines(self, rows: Sequence[bytes]) -> None:
        """Takes some rows."""
        self._longest = max(self._longest, *map(len, rows))
        joined = b"".join(rows)
        if self._bytes + len(joined) < BLOCK_BYTES:
            self._add(joined)
            return
        for row in rows:
            self._add(row)
            if self._bytes >= BLOCK_BYTES:
                self.flush()

    def flush(self) -> None:
        """Hands over the rows that are left."""
        if self._block:
            block = b"".join(self._block)
            self._block.clear()
            self._bytes = 0
            self._hand_over(block, self._longest)

    def _add(self, rows: bytes) -> None:
        self._block.append(rows)
        self._bytes += len(rows)


class _Rows:
    """Writes the rows that fit their contract to Parquet; collects the other rows, and all keys."""

    def __init__(
        self,
        table: SourceTable,
        writer: Writer,
        keys: Keys,
        unavailable: Mapping[str, pa.Array],
        latest_stamp: datetime,
        instead: str,
    ) -> None:
        self._instead = instead
        self._table = table
        self._writer = writer
        self._unavailable = unavailable
        self._latest_stamp = pa.scalar(latest_stamp, pa.timestamp("us"))
        self._ahead = 0
        self._latest: datetime | None = None
        self._keys = keys
        self._wrong: list[Violation] = []
        self._wrong_rows: list[pa.Table] = []

    def take(self, block: bytes, longest: int) -> None:
        """Takes a block of rows.

        Args:
            longest: an upper bound of the longest row's bytes.
        """
        rows, wrong = self._typed(block, longest)
        if _RARE.encode() in block:
            wrong += self._too_long(rows)
            rows = rows.filter(pc.invert(self._with_keys_of(rows, wrong)))
        wrong += violations(self._table, rows, self._unavailable)
        if wrong:
            texts = self._texts(block, longest)
            bad = texts.filter(self._with_keys_of(texts, wrong))
            self._keys.add(bad.column(self._table.key))
            self._wrong += wrong
            if len(self._wrong) > MOST:
                raise_if_any(self._wrong)
            self._wrong_rows.append(abridged(self._without_instead(bad)))
            rows = rows.filter(pc.invert(self._with_keys_of(rows, wrong)))
        self._writer.write(rows.cast(landed_schema(self._table)))
        self._keys.add(rows.column(self._table.key))
        self._look_ahead(rows)

    def extracted(self) -> Extracted:
        """Returns the result of reading the table.

        Raises:
            ContractViolation: a row breaks its contract, and may not be quarantined.
        """
        raise_if_any(repeated(self._table, self._keys))
        quarantined = quarantine(self._table, self._wrong, pa.concat_tables(self._wrong_rows)) if self._wrong else []
        return Extracted(self._keys, quarantined, self._ahead, self._latest)

    def _look_ahead(self, rows: pa.Table) -> None:
        # After the cast, all timestamps are UTC and have no zone.
        stamps = [
            rows.column(column.name).cast(pa.timestamp("us"))
            for column in self._table.columns
            if column.type_row.is_moment
        ]
        if not stamps:
            return
        ahead = reduce(pc.or_, (pc.greater(column, self._latest_stamp) for column in stamps))
        if count := pc.sum(ahead, min_count=0).as_py():
            self._ahead += count
            self._latest = max(filter(None, [self._latest, *(pc.max(column).as_py() for column in stamps)]))

    def _typed(self, block: bytes, longest: int) -> tuple[pa.Table, list[Violation]]:
        """Returns the rows whose values fit their types, and the violations of the others."""
        schema = landed_schema(self._table)
        try:
            return _read_csv(block, schema, longest), []
        except pa.ArrowInvalid:
            texts = self._texts(block, longest)
            wrong = unreadable(self._table, texts)
            if not wrong:
                raise
            readable = texts.filter(pc.invert(self._with_keys_of(texts, wrong)))
            if not len(readable):
                return schema.empty_table(), wrong
            written = _csv(readable)
            return _read_csv(written, schema, len(written)), wrong

    def _too_long(self, rows: pa.Table) -> list[Violation]:
        found = []
        for name in self._table.byte_limits:
            long = rows.filter(self._is_long(rows.column(name)))
            lengths = pc.replace_substring(long.column(name), self._instead, "")
            found += too_long(self._table, name, long.column(self._table.key), lengths)
        return found

    def _without_instead(self, texts: pa.Table) -> pa.Table:
        """Returns the rows with NULL in place of each stand-in for a text that is too long."""
        columns = [pc.if_else(self._is_long(values), pa.scalar(None, pa.string()), values) for values in texts.columns]
        return pa.table(columns, names=texts.schema.names)

    def _is_long(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.fill_null(pc.starts_with(texts, self._instead), False)

    def _texts(self, block: bytes, longest: int) -> pa.Table:
        schema = pa.schema([pa.field(column.name, pa.string()) for column in self._table.columns])
        return _read_csv(block, schema, longest)

    def _with_keys_of(self, rows: pa.Table, wrong: list[Violation]) -> pa.ChunkedArray:
        keys = pa.array(sorted({str(violation.key) for violation in wrong}), pa.string())
        return pc.is_in(rows.column(self._table.key).cast(pa.string()), value_set=keys)


def _csv(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(rows, sink, pa.csv.WriteOptions(include_header=False))
    return bytes(sink.getvalue().to_pybytes())


def _read_csv(block: bytes, schema: pa.Schema, longest: int = 0) -> pa.Table:
    """Parses rows that `COPY … (FORMAT csv)` wrote. NULL is an empty field; an empty text is two quotes.

    Args:
        longest: an upper bound of the longest row's bytes.
    """
    return pa.csv.read_csv(
        pa.BufferReader(block),
        read_options=pa.csv.ReadOptions(
            column_names=schema.names,
            # Arrow refuses a row that is longer than a block. Larger blocks would not fit into the processor's cache.
            block_size=max(longest, _CSV_BYTES),
            # The rows are parsed while the next ones arrive, so more threads would only slow both down.
            use_threads=False,
        ),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pa.csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
            timestamp_parsers=[pa.csv.ISO8601],
        ),
    )
