"""A state machine for Hypothesis: writers of totesys and executions of the pipeline, interleaved in whatever way."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, fields
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.back_office import CHANGES, Writer
from tests.injection import Action, Countdown, Killed, at_key, at_put, at_statement, die
from tests.model import Witness
from tests.pipeline import Pipeline
from totes.batch_log import HINT
from totes.errors import TransientError

WRITERS = 3
# Rows of an old transaction come once more when it has ended; after that there must be quiet.
RUNS_TO_QUIET = 4

# Where a load has looked at the warehouse's log and is about to write into it: the moment that its lock is for.
ABOUT_TO_LOAD = ('INTO "etl".batch (', 1)
# The n-th statement that contains a text, where two executions may get into each other's way …
STATEMENTS = (
    ("pg_control_system", 1),
    ("COPY", 1),
    ("pg_advisory_xact_lock", 1),
    ABOUT_TO_LOAD,
    ('INTO "etl".batch_table', 1),
    ("COMMIT", 1),
)
# … and the n-th PUT of a key that contains one.
PUTS = (("data/", 1), ("log/0", 1), ("log/0", 2), (HINT, 1))
ANY_STATEMENT, ANY_PUT = "any statement", "any put"
ANYWHERE = (*((ANY_STATEMENT, n) for n in (2, 5, 8, 13, 21, 34)), *((ANY_PUT, n) for n in (2, 4, 7)))

Change = tuple[str, int]
Moment = tuple[str, int]
WRITER = st.integers(0, WRITERS - 1)
CHANGE = st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 9))
ENDS = st.sampled_from(["wait", "commit", "commit", "rollback", "savepoint", "go back"])
WORK = st.sampled_from(["run", "run", "run", "ingest", "transform", "load"])
MOMENT = st.sampled_from((*STATEMENTS, *PUTS)) | st.sampled_from((*PUTS, *ANYWHERE)) | st.just(ABOUT_TO_LOAD)
# What may happen in the middle of an execution. A run or a stage is that of another one.
TROUBLE = st.sampled_from(["run", "run", "ingest", "load", "crash", "late commit", "nothing"])
CARE = st.sampled_from(["vacuum", "freeze", "drop landing hint", "drop processed hint", "drop warehouse", "settle"])


@dataclass
class Tally:
    """What was tried, over all examples."""

    examples: int = 0
    steps: int = 0
    runs: int = 0
    crashes: int = 0
    overlaps: int = 0
    late_commits: int = 0
    settled: int = 0
    violations: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{field.name.replace('_', ' ')} {getattr(self, field.name):,}" for field in fields(self))


class Interleaving(RuleBasedStateMachine):
    """One example: a totesys, a lake and a warehouse of its own.

    Args:
        made: the pipeline, whose totesys holds what orders refer to.
    """

    def __init__(self, made: AbstractContextManager[Pipeline], tally: Tally) -> None:
        super().__init__()
        self._tally = tally
        self._failed = False
        self._running = ExitStack()
        self._pipeline = self._running.enter_context(made)
        self._witness = self._running.enter_context(Witness(self._pipeline))
        deleted: list[tuple[str, list[Any]]] = []
        # The others may have a transaction open; the clerk never has.
        self._clerk, *self._writers = (Writer(self._pipeline, deleted) for _ in range(WRITERS + 1))
        for writer in (self._clerk, *self._writers):
            self._running.callback(writer.close)
        tally.examples += 1

    def teardown(self) -> None:
        try:
            if not self._failed:
                self._settle()
        finally:
            self._running.close()

    @rule(writer=WRITER, begin=st.booleans(), changes=st.lists(CHANGE, max_size=4), then=ENDS)
    def write(self, writer: int, begin: bool, changes: list[Change], then: str) -> None:
        self._tally.steps += 1
        client = self._writers[writer]
        if begin:
            client.begin()
        for change in changes:
            client.write(*change)
        match then:
            case "commit" | "rollback":
                client.end(commit=then == "commit")
            case "savepoint":
                client.set_savepoint()
            case "go back":
                client.go_back()

    @rule(change=CHANGE, work=WORK, moment=MOMENT, trouble=TROUBLE, writer=WRITER, late=CHANGE)
    def execute(self, change: Change, work: str, moment: Moment, trouble: str, writer: int, late: Change) -> None:
        """Work, of which there is some since the clerk has changed something, and trouble in the midst of it."""
        self._tally.steps += 1
        self._commit(self._clerk, change)

        def happens() -> None:
            match trouble:
                case "crash":
                    self._tally.crashes += 1
                    die()
                case "late commit":
                    self._tally.late_commits += 1
                    self._commit(self._writers[writer], late)
                case "run" | "ingest" | "load":
                    self._tally.overlaps += 1
                    self._do(trouble)

        with self._noted(), suppress(Killed), at(moment, happens):
            self._do(work)

    @rule(care=CARE)
    def maintain(self, care: str) -> None:
        self._tally.steps += 1
        pipeline = self._pipeline
        match care:
            case "vacuum":
                pipeline.postgres.execute("VACUUM", pipeline.source)
            case "freeze":
                pipeline.postgres.execute("VACUUM (FREEZE)", pipeline.source)
            case "drop landing hint":
                pipeline.s3.delete_object(Bucket=pipeline.landing_bucket, Key=HINT)
            case "drop processed hint":
                pipeline.s3.delete_object(Bucket=pipeline.processed_bucket, Key=HINT)
            case "drop warehouse":
                pipeline.drop_warehouse()
                self._witness.forgive_drop()
            case "settle":
                self._settle()

    def _settle(self) -> None:
        """All writers come to an end; then the pipeline must come to rest, and everything be as it should."""
        self._tally.settled += 1
        with self._noted():
            for writer in self._writers:
                writer.end(commit=True)
            for _ in range(RUNS_TO_QUIET):
                self._tally.runs += 1
                landed, processed, loaded = self._pipeline.run()
                if (landed.batch, processed.batches, loaded.batches) == (None, 0, 0):
                    break
            found = self._witness.violations() + self._witness.quiet(self._pipeline.run)
            assert not found, "\n".join(found)

    def _commit(self, writer: Writer, change: Change) -> None:
        writer.write(*change)
        writer.end(commit=True)

    def _do(self, work: str) -> None:
        """Trouble that passes ends it, as it ends an attempt of an execution; any other error is a violation."""
        self._tally.runs += 1
        with suppress(TransientError):
            getattr(self._pipeline, work)()

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._failed = True
            raise


def at(moment: Moment, action: Action) -> AbstractContextManager[object]:
    """Does something once, before the n-th statement or PUT of a kind."""
    kind, number = moment
    if kind == ANY_PUT:
        return at_put(number, action)
    if moment in PUTS:
        return at_key(kind, Countdown(number, action), times=number)
    return at_statement("" if kind == ANY_STATEMENT else kind, Countdown(number, action), times=number)
