"""Splits a stage's time into spans, by timing a few functions, most of them in libraries, without changing them.

A span excludes the spans inside it, so that a thread's spans add up. The rest of the time is the span `other`. Threads
beside the main one have their own spans, which are added to the sum.
"""

import contextlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial, wraps
from importlib import import_module
from typing import Any

from benchmarks.memory import peak_mb

# The first matching expression gives a statement's label.
STATEMENTS = (
    (r"^COPY .* TO STDOUT", "COPY out"),
    (r"^COPY .* FROM STDIN", "COPY in"),
    (r"first_new", "counts"),
    (r"(ADD|DROP) CONSTRAINT|(CREATE|DROP) INDEX|pg_get_constraintdef", "keys and indexes"),
    (r"^-- Adds a version|^(WITH .*)?INSERT INTO .*staged", "insert"),
    (r"CREATE TEMPORARY|ANALYZE|DROP TABLE", "staging table"),
    (r"checked", "checks"),
    (r"CREATE|ALTER|COMMENT", "schema"),
    (r"", "other statements"),
)
# Functions by module and name, with their labels.
FUNCTIONS = (
    ("pg8000.core", "CoreConnection.__init__", "connect"),
    ("pg8000.dbapi", "Connection.commit", "commit"),
    ("pyarrow.csv", "read_csv", "parse"),
    ("totes.postgres.binary_copy", "_cast", "format"),
    ("totes.postgres.binary_copy", "_field", "format"),
    ("totes.postgres.binary_copy", "_block", "format"),
    ("pyarrow.parquet", "ParquetWriter.write_table", "Parquet write"),
    ("pyarrow.parquet", "ParquetWriter.close", "Parquet write"),
    ("pyarrow.parquet", "ParquetFile.iter_batches", "Parquet read"),
    ("totes.source.validation", "violations", "row checks"),
    ("totes.warehouse.star", "shaped", "shape"),
    ("totes.lake.bucket", "sha256_of", "hash"),
    ("totes.lake.bucket", "Lake.fetch", "S3"),
    ("totes.lake.bucket", "Lake.read", "S3"),
    ("totes.lake.bucket", "Lake.replace_hint", "S3"),
    ("totes.lake.bucket", "Lake._put_if_absent", "S3"),
    ("totes.lake.batch_log", "BatchLog._from", "S3"),
    ("totes.runtime.aws", "_store", "AWS clients"),
    ("boto3", "client", "AWS clients"),
    ("botocore.client", "BaseClient._make_api_call", "secrets"),
    ("totes.warehouse.rules", "StagedRows.see", "rules of staged rows"),
    ("totes.warehouse.rules", "StagedRows.check", "rules of staged rows"),
)


@dataclass
class Span:
    """Wall and CPU seconds, and the growth of the process's peak in MB."""

    wall: float = 0.0
    cpu: float = 0.0
    grown: float = 0.0

    def add(self, other: "Span", sign: int = 1) -> None:
        self.wall += sign * other.wall
        self.cpu += sign * other.cpu
        self.grown += sign * other.grown


@dataclass
class Record:
    """The measurements so far, by span."""

    spans: dict[str, Span] = field(default_factory=dict)
    _thread: threading.local = field(default_factory=threading.local)

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Measures a block, without the spans inside it."""
        inside: list[Span] = self._thread.__dict__.setdefault("inside", [])
        nested, before = Span(), _now()
        inside.append(nested)
        try:
            yield
        finally:
            took = _now()
            took.add(before, -1)
            inside.pop()
            if inside:
                inside[-1].add(took)
            took.add(nested, -1)
            self.spans.setdefault(name, Span()).add(took)

    def rows(self) -> dict[str, Any]:
        """Returns `{"spans": {name: [wall, cpu, grown]}, "peak": MB}`."""
        return {
            "spans": {name: [span.wall, span.cpu, span.grown] for name, span in self.spans.items()},
            "peak": _now().grown,
        }


@contextlib.contextmanager
def recorded(stage: str) -> Iterator[Record]:
    """Measures the block. The stage's imports are measured first, as a span."""
    record = Record()
    with record.span("imports"):
        import_module(f"functions.{stage}")
        # Imports all of them, although a run without changes needs only some.
        for module, _, _ in FUNCTIONS:
            import_module(module)
    with contextlib.ExitStack() as patches:
        for module, name, label in FUNCTIONS:
            patches.enter_context(_wrapped(module, name, partial(_always, label), record))
        patches.enter_context(_wrapped("totes.postgres.driver", "PipelineConnection.execute", _statement, record))
        with record.span("other"):
            yield record


def _always(label: str, _arguments: tuple[Any, ...]) -> str:
    return label


def _statement(arguments: tuple[Any, ...]) -> str:
    statement = arguments[1]
    return next(label for pattern, label in STATEMENTS if re.search(pattern, statement, re.DOTALL))


@contextlib.contextmanager
def _wrapped(module: str, name: str, label: Callable[[tuple[Any, ...]], str], record: Record) -> Iterator[None]:
    """Replaces a function by a timed one, in every module that has imported it by name."""
    owner_name, _, attribute = name.rpartition(".")
    owner: Any = getattr(import_module(module), owner_name) if owner_name else import_module(module)
    original = getattr(owner, attribute)

    @wraps(original)
    def clocked(*arguments: Any, **named: Any) -> Any:
        with record.span(label(arguments)):
            result = original(*arguments, **named)
        return _clocked_pieces(result, label(arguments), record) if attribute == "iter_batches" else result

    holders = (
        [owner] if owner_name else [held for held in list(sys.modules.values()) if _has(held, attribute, original)]
    )
    for holder in holders:
        setattr(holder, attribute, clocked)
    try:
        yield
    finally:
        for holder in holders:
            setattr(holder, attribute, original)


def _clocked_pieces(pieces: Iterator[Any], label: str, record: Record) -> Iterator[Any]:
    while True:
        with record.span(label):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def _has(module: Any, attribute: str, original: Any) -> bool:
    return getattr(module, "__dict__", {}).get(attribute) is original


def _now() -> Span:
    return Span(time.perf_counter(), time.thread_time(), peak_mb())
