from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.support.s3_wire import Answer, Request, Send, heard_by
from tests.unit.totes.conftest import BUCKET
from tests.unit.totes.lake.test_batch_log import MANIFEST
from totes.errors import CorruptObject, LakeUnavailable, ObjectMissing
from totes.lake.bucket import Lake, StoredObject
from totes.lake.manifest import BACKFILL, Manifest
from totes.lake.read_ahead import ReadAhead, worth_saying


@pytest.fixture
def stored(lake: Lake, tmp_path: Path) -> StoredObject:
    path = tmp_path / "file"
    path.write_bytes(b"rows")
    return lake.add(path, "data/staff/batch=00000001", 1)


@pytest.fixture
def reads(lake: Lake) -> Iterator[Counter[str]]:
    """Yields how often each object is read."""
    found: Counter[str] = Counter()

    def listen(request: Request, send: Send) -> Answer | None:
        found[request.path.removeprefix(f"/{BUCKET}/")] += request.operation == "GetObject"
        return send()

    with heard_by(listen):
        yield found


def fetched(stored: StoredObject, said: StoredObject, folder: Path) -> bytes:
    with ReadAhead(BUCKET, [asdict(said)]) as lake:
        return lake.fetch(stored, folder / "fetched").read_bytes()


def test_object_that_was_read_ahead_is_not_read_again(
    stored: StoredObject, reads: Counter[str], tmp_path: Path
) -> None:
    assert fetched(stored, stored, tmp_path) == b"rows"
    assert reads == {stored.key: 1}


@pytest.mark.parametrize(
    "wrong", [{"key": "data/gone.parquet"}, {"sha256": "0" * 64}, {"rows": 7}, {"key": "\0"}], ids=str
)
def test_wrong_hint_does_no_harm(stored: StoredObject, wrong: dict[str, object], tmp_path: Path) -> None:
    assert fetched(stored, replace(stored, **wrong), tmp_path) == b"rows"


def test_object_that_has_changed_is_refused_as_usual(lake: Lake, stored: StoredObject, tmp_path: Path) -> None:
    lake.replace_hint(stored.key, "other bytes")
    with pytest.raises(CorruptObject, match=stored.key):
        fetched(stored, stored, tmp_path)


def test_failed_read_ahead_is_tried_again(
    stored: StoredObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_lake: Lake, _key: str) -> bytes:
        raise LakeUnavailable("S3 says SlowDown.")

    monkeypatch.setattr(Lake, "read", refuse)
    assert fetched(stored, stored, tmp_path) == b"rows"


def test_object_that_is_gone_is_reported_where_it_is_needed(lake: Lake, tmp_path: Path) -> None:
    gone = StoredObject("data/gone.parquet", 1, 1, "ab")
    with pytest.raises(ObjectMissing, match=r"data/gone\.parquet"):
        fetched(gone, gone, tmp_path)


def with_objects(count: int, size: int, **changes: object) -> Manifest:
    parts = {f"table_{number}": {"data": StoredObject(f"data/{number}", 1, size, "ab")} for number in range(count)}
    return replace(MANIFEST, tables=parts, **changes)


def test_keys_are_not_said_and_all_else_is() -> None:
    parts = {part: StoredObject(f"{part}/a", 1, 9, "ab") for part in ("data", "deleted", "keys", "aside")}
    said = worth_saying(replace(MANIFEST, tables={"staff": parts}))
    assert [stored.key for stored in said] == ["data/a", "deleted/a", "aside/a"]


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (with_objects(40, 9), 40),
        (with_objects(41, 9), 0),
        (with_objects(2, 1 << 19), 2),
        (with_objects(2, 1 << 20), 0),
        (with_objects(1, 9, full_read={"staff": BACKFILL}), 0),
    ],
    ids=["most", "many", "largest", "large", "backfill"],
)
def test_large_batches_and_backfills_are_not_said(manifest: Manifest, said: int) -> None:
    assert len(worth_saying(manifest)) == said
