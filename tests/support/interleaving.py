"""A Hypothesis state machine that interleaves writers and administrators of totesys with runs of the pipeline."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

import pg8000.dbapi
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from pg8000.native import identifier

from local.postgres.databases import READER
from tests.support.back_office import CHANGES, Writer
from tests.support.clusters import Cluster
from tests.support.cold import forget_logs
from tests.support.injection import Action, Countdown, Killed, at_key, at_put, at_statement, die
from tests.support.migrations import MANY_PAYMENTS, MIGRATIONS, REMOVALS, obstacles
from tests.support.model import HistoryChecker
from tests.support.pipeline import Pipeline
from totes.errors import (
    AccessDenied,
    ContractViolation,
    DeletionsHeld,
    SourceBusy,
    SourceLagging,
    SourceUnreachable,
    TotesError,
    TransientError,
)
from totes.lake.batch_log import HINT

WRITERS = 3
# Rows of a long-running transaction are read again when it has ended; after that, there must be nothing new.
RUNS_TO_QUIET = 4

# After a load has read the warehouse's log, and before it writes into it: its lock protects this moment.
ABOUT_TO_LOAD = ('INTO "etl".batch (', 1)
# Ingest did not get its locks, has waited, and tries again.
TRIES_AGAIN = ("LOCK TABLE", 2)
# Ingest has its snapshot and has read nothing yet.
HAS_SNAPSHOT = ("SAVEPOINT facts", 1)
# When a batch has landed: a crash may undo transactions that it holds.
HAS_LANDED = ("log/0", 2)
# The n-th statement that contains a text, at which two executions may get in each other's way …
STATEMENTS = (
    ("pg_control_system", 1),
    HAS_SNAPSHOT,
    ("COPY", 1),
    ("pg_advisory_xact_lock", 1),
    ABOUT_TO_LOAD,
    ('INTO "etl".batch_table', 1),
    ("COMMIT", 1),
)
# … and the n-th PUT of a key with a text.
PUTS = (("data/", 1), ("log/0", 1), ("log/0", 2), (HINT, 1))
ANY_STATEMENT, ANY_PUT = "any statement", "any put"
ANYWHERE = (*((ANY_STATEMENT, n) for n in (2, 5, 8, 13, 21, 34)), *((ANY_PUT, n) for n in (2, 4, 7)))

Change = tuple[str, int]
Moment = tuple[str, int]
WRITER = st.integers(0, WRITERS - 1)
CHANGE = st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 9))
ENDS = st.sampled_from(["wait", "commit", "commit", "hasty commit", "rollback", "savepoint", "go back"])
WORK = st.sampled_from(["run", "run", "run", "confirm", "ingest", "transform", "load"])
MOMENT = st.sampled_from((*STATEMENTS, *PUTS)) | st.sampled_from((*PUTS, *ANYWHERE)) | st.just(ABOUT_TO_LOAD)
# These come more often than others: exchanging a table takes two of them, and a run sees few of the truncations.
OFTEN = ["prepared tables", "row security on", *["truncations"] * 3]
MIGRATION = st.tuples(st.sampled_from(sorted([*MIGRATIONS, *OFTEN])), st.integers(0, 9))
MIGRATION_ENDS = st.sampled_from([*["commit"] * 4, "wait", "rollback"])
# The ways in which the server goes down. Each takes as long as a dozen other moves.
DOWNS = ("restarts", "crashes of the server", "crashes of a backend")
# Events in the middle of an execution. A run or a stage here belongs to another execution.
TROUBLE = st.sampled_from(
    [
        *["run", "run", "ingest", "load", "kill", "late commit", "migrate", "migrate", "finish migrating"] * 3,
        *DOWNS,
    ]
)
CARE = st.sampled_from(
    [
        *["configure", "vacuum", "freeze", "vacuum full"] * 3,
        *["drop landing hint", "drop processed hint", "drop warehouse", "settle"] * 3,
        *DOWNS * 2,
    ]
)
# Settings of a role or a database. The pipeline must read the same values under all of them.
SETTINGS = {
    "client_encoding": ("latin1", "win1252"),
    "DateStyle": ("German", "SQL, DMY", "Postgres, MDY"),
    "TimeZone": ("Asia/Tokyo", "America/New_York"),
    "quote_all_identifiers": ("on",),
    "row_security": ("off", "on"),
    "bytea_output": ("escape",),
    "extra_float_digits": ("-15",),
}
SETTING = st.sampled_from([(name, value) for name, values in SETTINGS.items() for value in values])
SCOPE = st.sampled_from(["role", "database", "role in database"])


class Tally(Counter[str]):
    """Counts the moves over all examples, by name."""

    def __str__(self) -> str:
        return "\n".join(f"{number:>8,}  {what}" for what, number in sorted(self.items()))


class Interleaving(RuleBasedStateMachine):
    """One example, with a totesys, a lake and a warehouse of its own.

    Args:
        made: the pipeline. Its totesys holds the rows to which orders refer.
        cluster: totesys' server, which no other test uses.
    """

    def __init__(self, made: AbstractContextManager[Pipeline], cluster: Cluster, tally: Tally) -> None:
        super().__init__()
        self._tally = tally
        self._failed = False
        self._running = ExitStack()
        self._pipeline = self._running.enter_context(made)
        self._cluster = cluster
        self._history_checker = self._running.enter_context(HistoryChecker(self._pipeline))
        self._running.callback(self._alter, "ROLE", READER, "RESET ALL")
        deleted: list[tuple[str, list[Any]]] = []
        # The other clients may have an open transaction; the clerk never has one.
        clients = [Writer(self._pipeline, deleted) for _ in range(WRITERS + 2)]
        self._clients = clients
        self._clerk, self._migrator, *self._writers = clients
        for client in clients:
            self._running.callback(client.close)
        # The deletions that the last error named, and all deletions that were confirmed.
        self._gone: dict[str, int] = {}
        self._confirmed: list[dict[str, int]] = []
        tally["examples"] += 1

    def teardown(self) -> None:
        try:
            if not self._failed:
                self._settle()
        finally:
            self._tally.update(self._migrator.committed)
            self._running.close()

    @initialize(many=st.sampled_from([True, True, False]))
    def found(self, many: bool) -> None:
        """Gives most examples a table so large that a run would be held if its rows were gone."""
        for statement in MANY_PAYMENTS if many else ():
            self._pipeline.totesys(statement)

    @rule(writer=WRITER, begin=st.booleans(), changes=st.lists(CHANGE, max_size=4), then=ENDS)
    def write(self, writer: int, begin: bool, changes: list[Change], then: str) -> None:
        self._tally["steps"] += 1
        client = self._writers[writer]
        if begin:
            client.begin()
        for change in changes:
            client.write(*change)
        match then:
            case "commit" | "hasty commit" | "rollback":
                client.end(commit=then != "rollback", durable=then != "hasty commit")
            case "savepoint":
                client.set_savepoint()
            case "go back":
                client.go_back()

    @rule(
        change=CHANGE,
        work=WORK,
        moment=MOMENT,
        trouble=TROUBLE,
        writer=WRITER,
        late=CHANGE,
        migration=MIGRATION,
        at_worst=st.booleans(),
        durable=st.booleans(),
    )
    def execute(
        self,
        change: Change,
        work: str,
        moment: Moment,
        trouble: str,
        writer: int,
        late: Change,
        migration: Change,
        at_worst: bool,
        durable: bool,
    ) -> None:
        """Commits a change of the clerk, then runs the pipeline, with trouble in the middle of it."""
        self._tally["steps"] += 1
        # A run may see a commit that is not durable and that a crash undoes.
        self._commit(self._clerk, change, durable=durable and trouble not in DOWNS)
        if trouble == "finish migrating":
            moment = TRIES_AGAIN
            self._migrate(migration)
        elif trouble == "migrate" and at_worst:
            moment = HAS_SNAPSHOT
        elif trouble in DOWNS and at_worst:
            moment = HAS_LANDED

        def happens() -> None:
            match trouble:
                case "kill":
                    self._tally["executions killed"] += 1
                    die()
                case "late commit":
                    self._tally["late commits"] += 1
                    self._commit(self._writers[writer], late)
                case "migrate":
                    self._migrate(migration)
                    self._migrator.end(commit=True)
                case "finish migrating":
                    self._tally["migrations that Ingest waited for"] += 1
                    self._migrator.end(commit=True)
                case "run" | "ingest" | "load":
                    self._tally["overlaps"] += 1
                    self._do(trouble)
                case down if down in DOWNS:
                    self._take_down(down)

        with self._noted(), suppress(Killed), at(moment, happens):
            self._do(work)

    @rule(migration=MIGRATION, then=MIGRATION_ENDS, alone=st.booleans(), tidy=st.booleans())
    def migrate(self, migration: Change, then: str, alone: bool, tidy: bool) -> None:
        """Runs an administrator's transaction. It may wait for the writers, and may remove obstacles first."""
        self._tally["steps"] += 1
        self._migrator.end(commit=True)
        for writer in self._writers if alone else ():
            writer.end(commit=True)
        if tidy:
            self._remove_obstacles()
        self._migrate(migration)
        if then != "wait":
            self._migrator.end(commit=then == "commit")

    @rule(care=CARE, setting=SETTING, scope=SCOPE, reset=st.booleans())
    def maintain(self, care: str, setting: tuple[str, str], scope: str, reset: bool) -> None:
        self._tally["steps"] += 1
        pipeline = self._pipeline
        match care:
            case "configure":
                self._configure(setting, scope, reset)
            case "vacuum":
                self._vacuum("VACUUM")
            case "freeze":
                self._vacuum("VACUUM (FREEZE)")
            case "vacuum full":
                self._vacuum("VACUUM (FULL) payment")
            case "drop landing hint":
                pipeline.s3.delete_object(Bucket=pipeline.landing_bucket, Key=HINT)
                forget_logs()
            case "drop processed hint":
                pipeline.s3.delete_object(Bucket=pipeline.processed_bucket, Key=HINT)
                forget_logs()
            case "drop warehouse":
                pipeline.drop_warehouse()
                self._history_checker.forgive_drop()
            case "settle":
                self._settle()
            case down:
                self._take_down(down)

    def _settle(self) -> None:
        """Ends all writers. Then the pipeline must come to rest, and every invariant must hold."""
        self._tally["settled"] += 1
        with self._noted():
            for client in self._clients:
                client.end(commit=True)
            self._remove_obstacles()
            assert obstacles(self._pipeline) == set()
            for _ in range(RUNS_TO_QUIET):
                done = self._do("confirm" if self._gone else "run")
                if done is None:
                    assert self._gone, "a run is held though nothing is in its way"
                    done = self._do("confirm")
                landed, processed, loaded = done
                if (landed.batch, processed.batches, loaded.batches) == (None, 0, 0):
                    break
            found = (
                self._history_checker.violations()
                + self._history_checker.unconfirmed(self._confirmed)
                + self._history_checker.quiet(self._pipeline.run)
            )
            assert not found, "\n".join(found)

    def _commit(self, writer: Writer, change: Change, *, durable: bool = True) -> None:
        writer.write(*change)
        writer.end(commit=True, durable=durable)

    def _migrate(self, migration: Change) -> None:
        name, number = migration
        self._migrator.attempt(name, lambda: MIGRATIONS[name](self._migrator, number))

    def _remove_obstacles(self) -> None:
        """Removes the obstacles, unless a lock is in the way. After all clients have finished, there is none."""
        for obstacle in obstacles(self._pipeline) & REMOVALS.keys():
            self._migrate((REMOVALS[obstacle], 0))
            self._migrator.end(commit=True)

    def _configure(self, setting: tuple[str, str], scope: str, reset: bool) -> None:
        name, value = setting
        database = identifier(self._pipeline.source)
        change = f"RESET {name}" if reset else f"SET {name} = '{value}'"
        match scope:
            case "role":
                self._alter("ROLE", READER, change)
            case "database":
                self._alter("DATABASE", database, change)
            case "role in database":
                self._alter("ROLE", READER, f"IN DATABASE {database} {change}")
        self._tally["settings reset" if reset else "settings set"] += 1

    def _vacuum(self, statement: str) -> None:
        """Runs a VACUUM, unless another client has a lock."""
        with suppress(pg8000.dbapi.DatabaseError):
            self._cluster.execute(statement, self._pipeline.source)
            self._tally[statement.lower()] += 1

    def _alter(self, kind: str, name: str, change: str) -> None:
        self._cluster.execute(f"ALTER {kind} {name} {change}")

    def _take_down(self, how: str) -> None:
        """Restarts or crashes the server. Open transactions are lost; a crash may undo more."""
        match how:
            case "restarts":
                self._cluster.restart()
            case "crashes of the server":
                self._cluster.crash()
                self._cluster.start()
            case "crashes of a backend":
                self._cluster.crash_process()
        self._tally[how] += 1
        self._pipeline.move_source(self._cluster)
        for client in self._clients:
            client.reconnect()

    def _do(self, work: str) -> Any:
        """Runs all stages or one, and checks whether an error is right.

        Returns:
            the result; None if the run was held for a good reason.
        """
        self._tally["runs"] += 1
        expected, downs = obstacles(self._pipeline), self._downs
        try:
            if work == "confirm":
                self._tally["runs with deletions confirmed"] += bool(self._gone)
                self._confirmed.append(self._gone)
                done: Any = self._pipeline.run(accept_deletions=self._gone)
            else:
                done = getattr(self._pipeline, work)()
        except TotesError as error:
            self._tally[f"held by {type(error).__name__}"] += 1
            expected |= obstacles(self._pipeline) | ({SourceUnreachable.__name__} if self._downs > downs else set())
            if not self._is_right(error, expected):
                raise AssertionError(f"held by {type(error).__name__}, and nothing is in the way: {error}") from error
            return None
        if work in ("run", "confirm", "ingest"):
            self._gone = {}
        return done

    @property
    def _downs(self) -> int:
        return sum(self._tally[how] for how in DOWNS)

    def _is_right(self, error: TotesError, expected: set[str]) -> bool:
        """Returns whether an execution may end with this error, given totesys' state and the other executions."""
        match error:
            case DeletionsHeld():
                remedy = error.remedy
                self._gone = json.loads(remedy[remedy.index("{") : remedy.rindex("}") + 1])["accept_deletions"]
                return self._history_checker.held_rightly(self._gone)
            case SourceBusy() | SourceUnreachable() | AccessDenied() | ContractViolation():
                return type(error).__name__ in expected
        # Another execution may hold the lake or the warehouse at the moment.
        return isinstance(error, TransientError) and not isinstance(error, SourceLagging)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._failed = True
            raise


def at(moment: Moment, action: Action) -> AbstractContextManager[object]:
    """Acts once, before the n-th statement or PUT of a kind."""
    kind, number = moment
    if kind == ANY_PUT:
        return at_put(number, action, may_miss=True)
    if moment in PUTS:
        return at_key(kind, Countdown(number, action), number, may_miss=True)
    contains = "" if kind == ANY_STATEMENT else kind
    return at_statement(contains, Countdown(number, action), number, may_miss=True)
