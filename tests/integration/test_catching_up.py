"""One or several executions catch up on many batches in little time."""

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from local.aws.moto_repairs import conditional_writes_are_atomic
from tests.integration.test_rules import RIGHT, WRONG
from tests.support import s3_wire
from tests.support.allowances import half_used_after
from tests.support.injection import at_key, at_statement, puts
from tests.support.pipeline import Pipeline, content
from tests.support.s3_wire import Answer, Send, heard_by
from totes.contracts.requests import Request
from totes.errors import ContractViolation
from totes.lake.batch_log import HINT
from totes.lake.bucket import Lake
from totes.load import LoadResult, load
from totes.runtime.allowance import UNLIMITED, Allowance
from totes.runtime.passes import left_to
from totes.runtime.settings import LoadSettings, TransformSettings
from totes.transform import Transformed, prepare, transform

LAST = 6
NO_TIME = Allowance(lambda: 0)
YOUNG = "arn:aws:states:eu-west-2:123456789012:execution:totes-test-pipeline:young"
OTHER = "arn:aws:states:eu-west-2:123456789012:execution:totes-test-pipeline:other"


def land(pipeline: Pipeline) -> int:
    """Lands one more batch, and returns its number."""
    pipeline.totesys("UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 7")
    batch = pipeline.ingest().batch
    assert batch
    return batch


@pytest.fixture
def behind(small: Pipeline) -> Pipeline:
    """Yields a pipeline that has loaded batch 1 and landed five more."""
    for _ in range(2, LAST + 1):
        land(small)
    return small


@dataclass
class Execution:
    """One of several executions; it does the same as the state machine after Ingest."""

    pipeline: Pipeline
    name: str

    def transform(self, allowance: Allowance = NO_TIME, since: int | None = None) -> Transformed:
        settings = TransformSettings(self.pipeline.landing_bucket, self.pipeline.processed_bucket)
        return transform(settings, Request(self.name), allowance, since)

    def load(self, allowance: Allowance = NO_TIME) -> LoadResult:
        settings = LoadSettings(self.pipeline.processed_bucket, f"{self.pipeline.name}/warehouse")
        return load(settings, Request(self.name), allowance=allowance)

    def run(self, allowance: Callable[[], Allowance] = lambda: NO_TIME, landed: int = LAST) -> LoadResult:
        """Loops as the state machine does; returns the results of the last pass.

        Args:
            landed: the last batch that Ingest found.
        """
        since = None
        while True:
            transformed = self.transform(allowance(), since)
            since, loaded = since or transformed.first, self.load(allowance())
            if not (transformed.more or loaded.more):
                so_far = {"ingest": {"landed_through": landed}, "transform": vars(transformed)}
                return replace(loaded, catching_up=left_to(so_far, vars(loaded)))


def left(pipeline: Pipeline) -> tuple[int, int]:
    """Returns how many batches wait for Transform, and how many for Load."""
    ((loaded,),) = pipeline.star("SELECT max(batch_id) FROM etl.batch")
    return pipeline.landed().last() - pipeline.processed().last(), pipeline.processed().last() - loaded


def test_stages_stop_when_half_of_their_time_is_used(behind: Pipeline) -> None:
    execution = Execution(behind, behind.execution)
    transformed = execution.transform(half_used_after(3))
    assert (transformed.first, transformed.last, transformed.more) == (2, 4, True)
    loaded = execution.load(half_used_after(2))
    assert (loaded.first, loaded.last, loaded.more) == (2, 3, True)
    transformed, loaded = behind.transform(), behind.load()
    assert (transformed.first, transformed.last, transformed.more) == (5, 6, False)
    assert (loaded.first, loaded.last, loaded.more) == (4, 6, False)


def test_first_batch_may_begin_however_little_time_there_is(behind: Pipeline) -> None:
    execution = Execution(behind, behind.execution)
    transformed, loaded = execution.transform(), execution.load()
    # All processed batches are loaded.
    assert (transformed.batches, transformed.more, loaded.batches, loaded.more) == (1, True, 1, False)


def test_last_batch_leaves_nothing_to_come_back_for(behind: Pipeline) -> None:
    execution = Execution(behind, behind.execution)
    assert not execution.transform(half_used_after(LAST - 1)).more
    assert not execution.load(half_used_after(LAST - 1)).more


def test_hint_moves_each_hundred_batches_and_last(behind: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totes.transform._HINTED_AFTER", 4)
    with puts(HINT) as hints:
        behind.transform()
    # These are batches 4 and 6.
    assert len(hints) == 2
    assert behind.processed().last() == LAST


def test_batch_that_is_landed_meanwhile_is_not_left_behind(behind: Pipeline) -> None:
    with at_key(f"log/{LAST:08d}", lambda: land(behind)):
        assert behind.transform().last == LAST + 1

    def land_and_process() -> None:
        land(behind)
        behind.transform()

    with at_statement("batch (batch_id, snapshot_at", land_and_process):
        assert behind.load().last == LAST + 2


def test_overtaken_transform_leaves_the_rest(behind: Pipeline) -> None:
    other = Execution(behind, OTHER)
    with at_key("log/00000002", lambda: other.transform(half_used_after(2))):
        overtaken = behind.transform()
    # The other one has processed two batches in a row.
    assert (overtaken.last, overtaken.processed_through, overtaken.catching_up) == (None, 3, OTHER)
    assert other.transform(half_used_after(9)).last == LAST


def test_overtaken_load_leaves_the_rest(behind: Pipeline) -> None:
    behind.transform()
    other = Execution(behind, OTHER)
    with at_statement("pg_advisory_xact_lock", lambda: other.load(half_used_after(2))):
        overtaken = Execution(behind, YOUNG).load()
    assert (overtaken.batches, overtaken.loaded_through, overtaken.catching_up) == (0, 2, OTHER)
    assert other.load(half_used_after(9)).last == LAST


def test_older_execution_continues_when_overtaken(behind: Pipeline) -> None:
    older, younger = Execution(behind, behind.execution), Execution(behind, OTHER)
    assert older.transform(half_used_after(1)).last == older.load().last == 2
    with at_key("log/00000003", lambda: younger.transform(half_used_after(2))):
        transformed = older.transform(half_used_after(9), since=2)
    assert (transformed.first, transformed.last, transformed.catching_up) == (5, LAST, None)
    with at_statement("pg_advisory_xact_lock", lambda: younger.load(half_used_after(2))):
        loaded = older.load(half_used_after(9))
    assert (loaded.first, loaded.last, loaded.catching_up) == (5, LAST, None)


def test_younger_execution_leaves_the_rest(behind: Pipeline) -> None:
    older, younger = Execution(behind, OTHER), Execution(behind, YOUNG)
    older.transform()
    older.load()
    with at_key("log/00000004", lambda: older.transform(half_used_after(2))):
        transformed = younger.transform(half_used_after(9))
    assert (transformed.last, transformed.processed_through, transformed.catching_up) == (3, 5, OTHER)
    older.transform(half_used_after(9))
    younger.load()
    with at_statement("pg_advisory_xact_lock", lambda: older.load(half_used_after(2))):
        loaded = younger.load(half_used_after(9))
    assert (loaded.batches, loaded.catching_up) == (0, OTHER)


def test_rest_is_not_left_to_one_that_has_done_a_single_batch(behind: Pipeline) -> None:
    """Such an execution does not look at the log again: it may have seen nothing but that batch."""
    other = Execution(behind, OTHER)
    with at_key("log/00000002", other.transform):
        transformed = behind.transform()
    assert (transformed.first, transformed.last, transformed.catching_up) == (3, LAST, None)
    with at_statement("pg_advisory_xact_lock", other.load):
        loaded = Execution(behind, YOUNG).load(UNLIMITED)
    assert (loaded.first, loaded.last, loaded.catching_up) == (3, LAST, None)


class Walks:
    """Counts how often a zone's log is walked in a block."""

    def __init__(self, bucket: str) -> None:
        self.count = 0
        self._bucket = bucket

    def __call__(self, request: s3_wire.Request, send: Send) -> Answer | None:
        self.count += request.operation == "ListObjectsV2" and self._bucket in request.path
        return send()


@pytest.mark.parametrize(("pending", "before", "walks"), [(1, OTHER, 1), (1, YOUNG, 2), (2, OTHER, 2)])
def test_log_is_looked_at_again_only_by_one_that_others_rely_on(
    small: Pipeline, pending: int, before: str, walks: int
) -> None:
    land(small)
    Execution(small, before).run()
    for _ in range(pending):
        land(small)
    landed, processed = Walks(small.landing_bucket), Walks(small.processed_bucket)
    with heard_by(landed):
        Execution(small, YOUNG).transform(UNLIMITED)
    with heard_by(processed):
        Execution(small, YOUNG).load(UNLIMITED)
    assert (landed.count, processed.count, left(small)) == (walks, walks, (0, 0))


class Race:
    """The first execution and a later one do the same batch at once, and the first one wins.

    The first one finds nothing but batch 3. Before it commits that, batch 4 is landed and the later one finds both.
    """

    def __init__(self, first: Callable[[], object], prepare: Callable[[], object], later: Callable[[], Any]) -> None:
        self._first = first
        self._prepare = prepare
        self._later = later
        self._arrivals = itertools.count(1)
        self._both_there, self._first_ended = threading.Event(), threading.Event()
        self._threads = ThreadPoolExecutor(1)

    def arrive(self) -> None:
        """Waits until each of the two is about to commit."""
        match next(self._arrivals):
            case 1:
                self._prepare()
                self.ended = self._threads.submit(self._later)
                assert self._both_there.wait(30)
            case 2:
                self._both_there.set()
                assert self._first_ended.wait(30)

    def run(self) -> Any:
        """Returns the result of the later one."""
        with self._threads:
            self._first()
            self._first_ended.set()
            return self.ended.result()


@pytest.mark.parametrize("before", [YOUNG, OTHER], ids=["another's", "its own"])
def test_batch_landed_meanwhile_is_done_whoever_wins_the_one_before(small: Pipeline, atomic: None, before: str) -> None:
    """The first one is retried or redriven if the batch before is its own. Then the later one leaves it the rest."""
    land(small)
    Execution(small, before).run()
    land(small)
    first, later = Execution(small, OTHER), Execution(small, f"{OTHER}-later")
    race = Race(lambda: first.transform(UNLIMITED), lambda: land(small), lambda: later.transform(UNLIMITED))
    with at_key("log/00000003", race.arrive, times=2):
        transformed = race.run()
    assert (left(small)[0], transformed.catching_up) == (0, OTHER if before == OTHER else None)


@pytest.mark.parametrize("before", [YOUNG, OTHER], ids=["another's", "its own"])
def test_batch_processed_meanwhile_is_loaded_whoever_wins_the_one_before(
    small: Pipeline, atomic: None, before: str
) -> None:
    land(small)
    Execution(small, before).run()
    land(small)
    small.transform()
    first, later = Execution(small, OTHER), Execution(small, f"{OTHER}-later")

    def prepare() -> None:
        land(small)
        small.transform()

    race = Race(lambda: first.load(UNLIMITED), prepare, lambda: later.load(UNLIMITED))
    with at_statement("pg_advisory_xact_lock", race.arrive, times=2):
        loaded = race.run()
    assert (left(small), loaded.catching_up) == ((0, 0), None)


def test_execution_overtaken_by_itself_continues(behind: Pipeline) -> None:
    """Lambda has lost the answer of an attempt which is still running."""
    zombie = Execution(behind, behind.execution)
    with at_key("log/00000003", lambda: zombie.transform(half_used_after(2))):
        transformed = behind.transform()
    assert (transformed.processed_through, transformed.catching_up) == (LAST, None)
    with at_statement("pg_advisory_xact_lock", lambda: zombie.load(half_used_after(2))):
        loaded = behind.load()
    assert (loaded.loaded_through, loaded.catching_up) == (LAST, None)


def test_execution_overtaken_at_last_batch_ends_well(small: Pipeline) -> None:
    land(small)
    other = Execution(small, OTHER)
    with at_key("log/00000002", other.transform):
        transformed = small.transform()
    with at_statement("pg_advisory_xact_lock", other.load):
        loaded = small.load()
    assert (transformed.batches, transformed.catching_up) == (0, None)
    assert (loaded.batches, loaded.catching_up, left(small)) == (0, None, (0, 0))


@pytest.fixture
def atomic() -> Iterator[None]:
    with conditional_writes_are_atomic():
        yield


@pytest.mark.parametrize("pending", [0, 1, 5])
@pytest.mark.parametrize("seed", range(4))
def test_one_of_concurrent_executions_loads_everything(small: Pipeline, atomic: None, pending: int, seed: int) -> None:
    """Each execution lands a batch, as Ingest does, and has time for a random number of batches in each pass."""
    for _ in range(pending):
        land(small)
    chance = random.Random(seed)  # noqa: S311
    landing = threading.Lock()

    def allowance() -> Allowance:
        times = iter([100])
        return Allowance(lambda: next(times, chance.choice([40, 100, 100])))

    def execute(name: str) -> LoadResult:
        with landing:
            landed = land(small)
        return Execution(small, name).run(allowance, landed)

    with ThreadPoolExecutor() as threads:
        ended = list(threads.map(execute, (f"{OTHER}-{number}" for number in range(3))))
    assert [result for result in ended if result.catching_up is None], "all have stood aside"
    assert left(small) == (0, 0)
    assert small.star("SELECT count(*) FROM etl.batch") == [[1 + pending + 3]]


def test_order_of_executions_makes_no_difference_to_what_is_loaded(behind: Pipeline) -> None:
    other = Execution(behind, OTHER)
    with at_key("log/00000004", other.run):
        Execution(behind, behind.execution).run()
    found = content(behind)
    behind.drop_warehouse()
    behind.load()
    assert content(behind) == found


def test_broken_check_takes_batches_past_half_time(behind: Pipeline) -> None:
    behind.totesys(WRONG, 7)
    behind.ingest()
    land(behind)
    behind.totesys(RIGHT, 7)
    behind.ingest()
    behind.transform()
    loaded = Execution(behind, behind.execution).load(half_used_after(LAST))
    assert (loaded.last, loaded.more) == (LAST + 3, False)


def test_uncorrected_check_names_rule_before_time_out(behind: Pipeline) -> None:
    behind.totesys(WRONG, 7)
    behind.ingest()
    for _ in range(2):
        land(behind)
    behind.transform()
    Execution(behind, behind.execution).load(half_used_after(LAST - 1))
    # Half of the time is over after one batch, and nearly all of it after two.
    times = iter([100, 40, 40])
    with pytest.raises(ContractViolation, match=r"`amount` .*: 7\. The 2 batches .*timeout, at most 900 s"):
        Execution(behind, behind.execution).load(Allowance(lambda: next(times, 5)))
    assert left(behind) == (0, 3)


def test_batch_that_is_prepared_again_keeps_its_first_draft(behind: Pipeline) -> None:
    """The draft names existing objects; another release's draft may name others."""
    settings = TransformSettings(behind.landing_bucket, behind.processed_bucket)
    prepare(settings, 2)
    (key,) = [key for key in Lake(behind.processed_bucket).keys("backfill/", "") if key.endswith(".json")]
    behind.s3.put_object(Bucket=behind.processed_bucket, Key=key, Body=b"the first draft")
    prepare(settings, 2)
    assert Lake(behind.processed_bucket).read(key) == b"the first draft"
