"""F28 to F33: damage to the lake's objects, and other writers of them."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import pytest

from local.lambda_runtime.runtime import InvokeResult
from tests.faults.outcome import one_line
from tests.faults.scenario import HEAL, HOLD, Scenario, fault
from tests.support.cold import forget_logs
from tests.support.injection import Countdown, at_key, die, put_answer_lost, s3_answers
from totes.lake.batch_log import HINT, BatchLog, entry

SDK_ATTEMPTS = 6
AMENDMENT = "UPDATE sales_order SET units_sold = units_sold + 1 WHERE sales_order_id = 7"
PROMOTION = "UPDATE department SET manager = manager || '!' WHERE department_id = 2"
DELETION = "DELETE FROM payment WHERE payment_id = 9"


@pytest.fixture
def scenario(scenario: Scenario) -> Scenario:
    """Turns on the versions of the buckets' objects, as on AWS."""
    for bucket in (scenario.pipeline.landing_bucket, scenario.pipeline.processed_bucket):
        scenario.pipeline.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return scenario


@fault("F28", "S3 answers 503 SlowDown or 500 InternalError for a moment", HEAL)
@pytest.mark.parametrize(
    ("status", "code", "operation"),
    [
        (503, "SlowDown", "PutObject"),
        (500, "InternalError", "PutObject"),
        (503, "SlowDown", "GetObject"),
        (500, "InternalError", "ListObjectsV2"),
    ],
)
def test_f28_moment_of_trouble_is_the_sdks_affair(scenario: Scenario, status: int, code: str, operation: str) -> None:
    scenario.totesys(AMENDMENT)

    with s3_answers(status, code, operation, times=4) as answers:
        healed = scenario.run()

    assert (healed.retried, answers.left) == ([], 0)


@fault("F28", "S3 answers with errors for longer than the SDK tries", HEAL)
def test_f28_longer_trouble_is_the_state_machines_affair(scenario: Scenario) -> None:
    scenario.totesys(AMENDMENT)

    with s3_answers(503, "SlowDown", "PutObject", times=2 * SDK_ATTEMPTS):
        healed = scenario.run()

    assert healed.retried == ["LakeUnavailable"] * 2


@fault("F28", "S3 answers with errors at every attempt", HOLD)
def test_f28_lasting_trouble_holds(scenario: Scenario) -> None:
    scenario.totesys(AMENDMENT)

    with s3_answers(503, "SlowDown", "PutObject", times=1_000) as answers:
        failed = scenario.run()

    assert (failed.error, failed.retried) == ("LakeUnavailable", ["LakeUnavailable"] * 4)
    assert answers.left == 1_000 - 5 * SDK_ATTEMPTS
    assert f"s3://{scenario.pipeline.landing_bucket}/data/sales_order/" in one_line(failed.mail)
    assert failed.changed_nothing
    assert scenario.run().output["ingest"]["rows"] == {"sales_order": 1}


@fault("F29", "Ingest crashes after k of its n PUTs, for every k", HEAL)
def test_f29_death_at_any_put_leaves_orphans_at_most(scenario: Scenario) -> None:
    for put in itertools.count(1):
        scenario.totesys(AMENDMENT)
        scenario.totesys(PROMOTION)
        scenario.totesys("DELETE FROM payment WHERE payment_id = %s", put)
        with ingest_dying_at_put(scenario, put) as countdown:
            healed = scenario.run()
        if countdown.left > 0:
            break
        assert healed.retried == ["Runtime.ExitError"]

    # The rows of three tables, deleted keys and live keys of a fourth, the manifest and the hint.
    assert put - 1 == 7
    # Totesys continued between each death and the retry, so the dead executions left objects that nothing uses. All are
    # put at the same time, so only the death at the manifest's PUT has certainly left every object.
    assert len(orphans(scenario)) >= 1


@fault("F29", "Ingest crashes again in its retry", HOLD)
@pytest.mark.parametrize("at", ["data/sales_order", "keys/", "log/0000"])
def test_f29_next_run_makes_good_too(scenario: Scenario, at: str) -> None:
    scenario.totesys(AMENDMENT)
    scenario.totesys(DELETION)

    with at_key(at, die, times=2):
        failed = scenario.run()

    assert (failed.error, failed.retried) == ("Runtime.ExitError", ["Runtime.ExitError"])
    assert scenario.pipeline.landed().last() == 1
    scenario.run()


# The n-th commit of a batch, and the retries if it is lost: Ingest begins again, Transform resumes after the batch.
CONTENDED = [(1, ["BatchContended"]), (2, [])]
FINDS_IT = "the retry finds the batch in the log and resumes after it, instead of repeating an answer"


@fault("F30", "a stage crashes after its manifest is written and before it returns", HEAL, because=FINDS_IT)
@pytest.mark.parametrize("death", [1, 2], ids=["ingest", "transform"])
def test_f30_retry_finds_what_the_dead_had_committed(scenario: Scenario, death: int) -> None:
    scenario.totesys(AMENDMENT)

    with at_key(HINT, Countdown(death, die), times=2):
        healed = scenario.run()

    assert healed.retried == ["Runtime.ExitError"]
    assert [log.last() for log in logs(scenario)] == [2, 2]
    assert healed.output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F30", "the answer to the manifest's PUT is lost, and the SDK sends it again", HEAL, because=FINDS_IT)
@pytest.mark.parametrize(("loss", "retried"), CONTENDED, ids=["ingest", "transform"])
def test_f30_writer_that_contends_with_itself_goes_on(scenario: Scenario, loss: int, retried: list[str]) -> None:
    scenario.totesys(AMENDMENT)

    with put_answer_lost(entry(2), loss) as statuses:
        healed = scenario.run()

    assert statuses.count(412) == 1
    assert healed.retried == retried
    assert healed.output["load"]["inserted"] == {"fact_sales_order": 1}


LANDED, PROCESSED = "transform", "load"  # the stage that reads each zone
IN_EITHER_ZONE = pytest.mark.parametrize("reader", [LANDED, PROCESSED], ids=["landing", "processed"])


def flipped_bit(body: bytes) -> bytes:
    return body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]


def cut_short(body: bytes) -> bytes:
    return body[: len(body) // 2]


def empty(_body: bytes) -> bytes:
    return b""


@fault("F31", "an object has a flipped bit, is cut short or is empty", HOLD)
@pytest.mark.parametrize("harm", [flipped_bit, cut_short, empty])
@IN_EITHER_ZONE
def test_f31_harmed_rows_are_named(scenario: Scenario, reader: str, harm: Callable[[bytes], bytes]) -> None:
    scenario.totesys(AMENDMENT)
    stored = Stored(scenario, reader, "data", batch=2)

    with scenario.before(reader, lambda: stored.overwrite(harm)):
        failed = scenario.run()

    assert failed.error == "CorruptObject"
    assert f"{stored} holds" in one_line(failed.mail)
    assert "Restore the first versions of the object" in one_line(failed.mail)
    stored.restore()
    scenario.totesys(AMENDMENT)
    assert scenario.run().output["load"]["batches"] == 2


@fault("F31", "the previous batch's live keys are damaged", HOLD)
def test_f31_harmed_keys_are_named(scenario: Scenario) -> None:
    stored = Stored(scenario, LANDED, "keys", batch=1)
    stored.overwrite(flipped_bit)
    scenario.totesys("DELETE FROM sales_order WHERE sales_order_id = 9")

    failed = scenario.run()

    assert failed.error == "CorruptObject"
    assert f"{stored} holds" in one_line(failed.mail)
    stored.restore()
    assert scenario.run().output["ingest"]["deleted"] == {"sales_order": 1}


@fault("F31", "a manifest is damaged", HOLD)
@IN_EITHER_ZONE
def test_f31_harmed_manifest_is_named(scenario: Scenario, reader: str) -> None:
    scenario.totesys(AMENDMENT)
    stored = Stored(scenario, reader, "manifest", batch=2)

    with scenario.before(reader, lambda: stored.overwrite(cut_short)):
        failed = scenario.run()

    assert failed.error == "CorruptObject"
    assert f"{stored} is not a manifest" in one_line(failed.mail)
    stored.restore()
    scenario.run()


@fault("F32", "an object is deleted between two steps", HOLD)
@IN_EITHER_ZONE
def test_f32_missing_rows_are_named(scenario: Scenario, reader: str) -> None:
    scenario.totesys(AMENDMENT)
    stored = Stored(scenario, reader, "data", batch=2)

    with scenario.before(reader, stored.delete):
        failed = scenario.run()

    assert failed.error == "ObjectMissing"
    assert f"{stored} is not there. Restore it in S3 (the buckets are versioned); the next" in one_line(failed.mail)
    stored.restore()
    scenario.totesys(AMENDMENT)
    assert scenario.run().output["load"]["batches"] == 2


@fault("F32", "the previous batch's live keys are deleted", HOLD)
def test_f32_missing_keys_are_named(scenario: Scenario) -> None:
    stored = Stored(scenario, LANDED, "keys", batch=1)
    stored.delete()
    scenario.totesys("DELETE FROM sales_order WHERE sales_order_id = 9")

    failed = scenario.run()

    assert failed.error == "ObjectMissing"
    assert f"{stored} is not there. Restore it in S3 (the buckets are versioned); the next" in one_line(failed.mail)
    stored.restore()
    assert scenario.run().output["ingest"]["deleted"] == {"sales_order": 1}


@fault("F32", "a landed batch's manifest is deleted", HOLD)
def test_f32_missing_end_of_the_landed_log_is_named(scenario: Scenario) -> None:
    stored = Stored(scenario, LANDED, "manifest", batch=1)
    stored.delete()
    scenario.totesys(AMENDMENT)

    failed = scenario.run()

    assert failed.error == "LogBroken"
    assert f"{stored} is missing, though the processed zone has the batch. Restore it in S3" in one_line(failed.mail)
    assert failed.changed_nothing
    stored.restore()
    assert scenario.run().output["load"]["inserted"] == {"fact_sales_order": 1}


MADE_AGAIN = "everything that the manifest listed still exists, so the batch is made again"


@fault("F32", "the manifest of a batch that was just landed is deleted", HEAL, because=MADE_AGAIN)
def test_f32_batch_that_nobody_has_read_is_landed_again(scenario: Scenario) -> None:
    scenario.totesys(AMENDMENT)

    with scenario.before("transform", Stored(scenario, LANDED, "manifest", batch=2).delete):
        scenario.run()

    assert scenario.run().output["load"]["inserted"] == {"fact_sales_order": 1}


@fault("F32", "a processed batch's manifest is deleted", HEAL, because=MADE_AGAIN)
@pytest.mark.parametrize("at", ["load", "ingest"], ids=["not loaded yet", "loaded"])
def test_f32_processed_batch_is_made_again(scenario: Scenario, at: str) -> None:
    scenario.totesys(AMENDMENT)
    stored = Stored(scenario, PROCESSED, "manifest", batch=2)

    with scenario.before("load", stored.delete) if at == "load" else contextlib.nullcontext():
        scenario.run()
    if at == "ingest":
        stored.delete()
    scenario.totesys(AMENDMENT)
    healed = scenario.run()

    assert healed.output["transform"]["batches"] == 2
    assert [log.last() for log in logs(scenario)] == [3, 3]


HINTS = {"gone": None, "garbage": b"rubbish", "stale": b'{"batch": 1}', "ahead": b'{"batch": 99}', "no hint": b"[]"}


@fault("F33", "the hint is gone, garbage, stale or ahead of the log", HEAL)
@pytest.mark.parametrize("hint", HINTS.values(), ids=HINTS)
def test_f33_log_is_found_whatever_the_hint_says(scenario: Scenario, hint: bytes | None) -> None:
    for _ in range(2):
        scenario.totesys(AMENDMENT)
        scenario.run()
    for reader in (LANDED, PROCESSED):
        if hint is None:
            Stored(scenario, reader, "hint").delete()
        else:
            Stored(scenario, reader, "hint").overwrite(lambda _body: hint)

    scenario.totesys(AMENDMENT)
    healed = scenario.run()

    assert (healed.retried, healed.output["ingest"]["batch"]) == ([], 4)


@fault("F33", "two writers commit one batch, in either zone", HEAL)
@pytest.mark.parametrize(("commit", "retried"), CONTENDED, ids=["landing", "processed"])
def test_f33_loser_of_a_commit_goes_on_behind_the_winner(scenario: Scenario, commit: int, retried: list[str]) -> None:
    scenario.totesys(AMENDMENT)
    winners = []

    with at_key(entry(2), Countdown(commit, lambda: winners.append(scenario.run())), times=2):
        loser = scenario.run()

    (winner,) = winners
    assert (winner.retried, loser.retried) == ([], retried)
    assert winner.output["load"]["inserted"] == {"fact_sales_order": 1}
    assert loser.output["load"]["batches"] == 0
    assert [log.last() for log in logs(scenario)] == [2, 2]


@fault("F33", "two writers commit one batch, and the loser has seen more", HEAL)
def test_f33_loser_lands_what_the_winner_has_not_seen(scenario: Scenario) -> None:
    scenario.totesys(AMENDMENT)

    def win() -> None:
        scenario.run()
        scenario.totesys(AMENDMENT)

    with at_key(entry(2), win):
        loser = scenario.run()

    assert loser.retried == ["BatchContended"]
    assert (loser.output["ingest"]["batch"], loser.output["load"]["inserted"]) == (3, {"fact_sales_order": 1})


class Stored:
    """An object of the lake, by its kind: the `data` or `keys` of sales_order, a `manifest`, or the `hint`."""

    def __init__(self, scenario: Scenario, reader: str, part: str, batch: int = 1) -> None:
        pipeline = scenario.pipeline
        self._s3 = pipeline.s3
        self._part = part
        self._batch = batch
        self._log = pipeline.landed() if reader == LANDED else pipeline.processed()
        self._bucket = pipeline.landing_bucket if reader == LANDED else pipeline.processed_bucket
        self._table = "sales_order" if reader == LANDED else "fact_sales_order"
        self._spoiled: dict[str, str] = {}

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._key}"

    @cached_property
    def _key(self) -> str:
        if self._part == "hint":
            return HINT
        if self._part == "manifest":
            return entry(self._batch)
        return self._log.read(self._batch).tables[self._table][self._part].key

    def overwrite(self, harm: Callable[[bytes], bytes]) -> None:
        forget_logs()
        body = self._s3.get_object(Bucket=self._bucket, Key=self._key)["Body"].read()
        self._spoiled = self._s3.put_object(Bucket=self._bucket, Key=self._key, Body=harm(body))

    def delete(self) -> None:
        forget_logs()
        self._spoiled = self._s3.delete_object(Bucket=self._bucket, Key=self._key)

    def restore(self) -> None:
        """Restores the first version as a person would: by deleting the newer one."""
        self._s3.delete_object(Bucket=self._bucket, Key=self._key, VersionId=self._spoiled["VersionId"])


@contextlib.contextmanager
def ingest_dying_at_put(scenario: Scenario, number: int) -> Iterator[Countdown]:
    """Kills the first ingest at its n-th PUT, and changes totesys at that moment."""

    def promote_and_die() -> None:
        scenario.totesys(PROMOTION)
        die()

    countdown = Countdown(number, promote_and_die)

    def ingest(name: str, event: dict[str, Any]) -> InvokeResult:
        with at_key("", countdown, times=1_000, may_miss=True):
            return scenario.switchboard.usual(name, event)

    with scenario.instead("ingest", ingest):
        yield countdown


def orphans(scenario: Scenario) -> set[str]:
    """Returns keys of the landing zone that no manifest names."""
    log = scenario.pipeline.landed()
    manifests = [log.read(batch) for batch in range(1, log.last() + 1)]
    named = {stored.key for manifest in manifests for parts in manifest.tables.values() for stored in parts.values()}
    objects = scenario.pipeline.objects(scenario.pipeline.landing_bucket)
    keys = {item.partition("/")[2].partition(" ")[0] for item in objects}
    return {key for key in keys - named if not key.startswith("log/")}


def logs(scenario: Scenario) -> list[BatchLog]:
    return [scenario.pipeline.landed(), scenario.pipeline.processed()]
