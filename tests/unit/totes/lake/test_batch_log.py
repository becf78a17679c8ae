from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import boto3
import pytest

from tests.support.cold import forget_logs
from tests.unit.totes.conftest import BUCKET
from totes.errors import BatchContended, CorruptObject, LogBroken
from totes.lake.batch_log import HINT, BatchLog, ends, entry
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import Manifest
from totes.postgres.position import SourcePosition

SNAPSHOT = datetime(2024, 11, 15, 14, 40, 10, 188_123, tzinfo=UTC)
MANIFEST = Manifest(
    batch=1,
    snapshot_at=SNAPSHOT,
    execution="arn:aws:states:eu-west-2:123456789012:execution:totes-test-pipeline:a",
    made_at=SNAPSHOT,
    source=SourcePosition("7437", 1, 16_384, 1_000, 1_002),
    columns={"staff": ["staff_id", "first_name"]},
    tables={"staff": {"data": StoredObject("data/staff/batch=00000001/a.parquet", 3, 99, "a" * 64)}},
    full_read={"staff": "first batch"},
)


@pytest.fixture(autouse=True)
def _cold() -> None:
    """Starts each test as a cold process: all tests share the bucket's name."""
    forget_logs()


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list that gets the key after which each walk starts."""
    found, keys = [], Lake.keys
    monkeypatch.setattr(Lake, "keys", lambda *asked, after: (found.append(after), keys(*asked, after=after))[1])
    return found


def committed(lake: Lake, batches: Iterable[int]) -> BatchLog:
    log = BatchLog(lake)
    for batch in batches:
        log.commit(replace(MANIFEST, batch=batch))
    return log


def put(key: str, body: bytes) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)


def delete(key: str) -> None:
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=key)


def test_empty_log_ends_at_zero(lake: Lake) -> None:
    assert BatchLog(lake).last() == 0


def test_committed_batch_reads_as_it_was_written(lake: Lake) -> None:
    log = committed(lake, [1])
    assert (log.last(), log.read(1)) == (1, MANIFEST)


def test_batch_is_committed_once(lake: Lake) -> None:
    log = committed(lake, [1])
    with pytest.raises(BatchContended, match=f"Batch 1 of s3://{BUCKET} was committed by another .* Nothing to do"):
        log.commit(replace(MANIFEST, execution="another"))
    assert log.read(1) == MANIFEST


@pytest.mark.parametrize(
    "hint",
    [
        b'{"batch": 12}',
        b'{"batch": 3}',
        b'{"batch": 13}',
        b'{"batch": 999999999999}',
        b'{"batch": 0}',
        b'{"batch": -1}',
        b'{"batch": "12"}',
        b'{"batch": null}',
        b"{}",
        b"[12]",
        b"12",
        b"",
        b"\xff\xfe",
        None,
    ],
    ids=str,
)
def test_end_is_found_whatever_the_hint_says(lake: Lake, hint: bytes | None) -> None:
    log = committed(lake, range(1, 13))
    if hint is None:
        delete(HINT)
    else:
        put(HINT, hint)
    forget_logs()
    assert log.last() == 12


def test_walk_goes_on_over_all_pages(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    log = committed(lake, range(1, 8))
    delete(HINT)
    forget_logs()
    assert log.last() == 7


def test_other_objects_beside_the_log_do_no_harm(lake: Lake) -> None:
    log = committed(lake, [1, 2])
    for key in ("log/00000003.json.bak", "log/3.json", "log/note.txt", "log/00000003/x.json", "log2/00000003.json"):
        put(key, b"{}")
    delete(HINT)
    forget_logs()
    assert log.last() == 2


@pytest.mark.parametrize(("missing", "next_one"), [(1, 2), (2, 3), (4, 5)])
def test_gap_is_named_with_its_object(lake: Lake, missing: int, next_one: int) -> None:
    log = committed(lake, range(1, 6))
    delete(entry(missing))
    delete(HINT)
    forget_logs()
    with pytest.raises(LogBroken) as caught:
        log.last()
    assert str(caught.value) == (
        f"s3://{BUCKET}/log/0000000{missing}.json is missing, though batch {next_one} is there. "
        "Restore it in S3 (the buckets are versioned). If somebody has copied the batches after it there, remove those "
        "instead. The next execution then resumes."
    )


def test_missing_manifest_is_named(lake: Lake) -> None:
    with pytest.raises(LogBroken, match=f"s3://{BUCKET}/log/00000007.json is missing. Restore .* another stage's"):
        BatchLog(lake).read(7)


def test_broken_manifest_is_named(lake: Lake) -> None:
    put(entry(7), b"{}")
    with pytest.raises(CorruptObject, match=f"s3://{BUCKET}/log/00000007.json is not a manifest"):
        BatchLog(lake).read(7)


def test_hint_of_a_batch_that_is_not_committed_costs_nothing(lake: Lake, walks: list[str]) -> None:
    """The hint is put beside the manifest, and a process may die between the two."""
    committed(lake, range(1, 4))
    put(HINT, b'{"batch": 4}')
    forget_logs()
    assert (BatchLog(lake).last(), walks) == (3, [entry(2)])


def test_warm_process_reads_no_hint(lake: Lake, walks: list[str]) -> None:
    committed(lake, range(1, 4))
    put(HINT, b'{"batch": 1}')
    assert (BatchLog(lake).last(), walks) == (3, [entry(1)])
    assert BatchLog(lake).newest() == replace(MANIFEST, batch=3)


def test_found_end_is_remembered(lake: Lake, walks: list[str]) -> None:
    committed(lake, range(1, 4))
    forget_logs()
    BatchLog(lake).last()
    delete(HINT)
    walks.clear()
    assert (BatchLog(lake).last(), walks) == (3, [entry(1)])


@pytest.mark.parametrize("left", [0, 1, 3])
def test_memory_of_a_replaced_bucket_costs_a_second_walk(lake: Lake, walks: list[str], left: int) -> None:
    """The log was restored to an older state, or the bucket was made again, since this process saw batch 5."""
    committed(lake, range(1, 6))
    for batch in range(left + 1, 6):
        delete(entry(batch))
    assert (BatchLog(lake).last(), walks) == (left, [entry(3), entry(0)])
    walks.clear()
    BatchLog(lake).last()
    assert len(walks) == (1 if left else 2)


@pytest.mark.parametrize("now", [4, 9])
def test_batches_that_another_process_commits_are_found(lake: Lake, now: int) -> None:
    committed(lake, range(1, 4))
    for batch in range(4, now + 1):
        put(entry(batch), lake.read(entry(3)) or b"")
    assert BatchLog(lake).last() == now


def test_batch_lost_to_another_one_is_remembered(lake: Lake, walks: list[str]) -> None:
    log = committed(lake, [1])
    put(entry(2), b"another's")
    with pytest.raises(BatchContended):
        log.commit(replace(MANIFEST, batch=2))
    assert (BatchLog(lake).last(), walks) == (2, [entry(0)])


def test_each_bucket_has_a_memory_of_its_own(lake: Lake) -> None:
    boto3.client("s3").create_bucket(
        Bucket="another-lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"}
    )
    committed(lake, range(1, 4))
    committed(Lake("another-lake"), [1])
    assert (BatchLog(lake).last(), BatchLog(Lake("another-lake")).last()) == (3, 1)


def test_gap_is_named_by_a_process_that_remembers(lake: Lake) -> None:
    committed(lake, range(1, 6))
    delete(entry(4))
    with pytest.raises(LogBroken, match=r"log/00000004\.json is missing, though batch 5"):
        BatchLog(lake).last()


def test_hint_is_right_though_another_one_has_committed_the_batch(lake: Lake) -> None:
    log = committed(lake, [1])
    put(entry(2), b"another's")
    with pytest.raises(BatchContended):
        log.commit(replace(MANIFEST, batch=2))
    assert lake.read(HINT) == b'{"batch": 2}'


def test_batch_may_be_committed_without_a_hint(lake: Lake) -> None:
    log = committed(lake, [1])
    log.commit(replace(MANIFEST, batch=2), hint=False)
    assert (lake.read(HINT), log.last()) == (b'{"batch": 1}', 2)


@pytest.mark.parametrize("hint", [b'{"batch": 3}', b'{"batch": 2}', b'{"batch": 9}', None], ids=str)
def test_newest_manifest_is_found_whatever_the_hint_says(lake: Lake, hint: bytes | None) -> None:
    committed(lake, range(1, 4))
    put(HINT, hint) if hint else delete(HINT)
    forget_logs()
    log = BatchLog(lake)
    newest = log.newest()
    assert newest == replace(MANIFEST, batch=3)
    assert log.last() == 3


@pytest.mark.parametrize("known", [3, 2, 9])
def test_end_is_found_whatever_the_caller_knows(lake: Lake, known: int) -> None:
    committed(lake, range(1, 4))
    assert BatchLog(lake, known).newest() == replace(MANIFEST, batch=3)
    assert BatchLog(lake, known).last() == 3


def test_empty_log_has_no_newest_manifest(lake: Lake) -> None:
    assert BatchLog(lake).newest() is None


def test_log_is_walked_again_from_where_it_ended(lake: Lake) -> None:
    log = committed(lake, [1])
    assert log.last() == 1
    committed(lake, [2, 3])
    delete(HINT)
    assert (log.last(), log.newest()) == (3, replace(MANIFEST, batch=3))


def test_batch_that_is_landed_and_processed_meanwhile_is_no_gap(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    landed, processed = committed(lake, [1]), BatchLog(lake)
    real, asked = landed.newest, []

    def newest() -> Manifest | None:
        """Makes another execution finish its batch before the processed zone is read."""
        found = real()
        if not asked:
            asked.append(True)
            committed(lake, [2])
        return found

    monkeypatch.setattr(landed, "newest", newest)
    monkeypatch.setattr(processed, "last", lambda: 2)
    assert ends(landed, processed) == (replace(MANIFEST, batch=2), 2)
