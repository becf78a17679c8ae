import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.totes.lake.test_batch_log import MANIFEST
from totes.errors import CorruptObject, VersionUnknown
from totes.lake.bucket import StoredObject
from totes.lake.manifest import VERSION, moment_after, parse_manifest
from totes.postgres.position import SourcePosition

WHERE = "s3://landing/log/00000001.json"


def parsed(document: object) -> object:
    return parse_manifest(json.dumps(document).encode(), WHERE)


def test_manifest_survives_its_json() -> None:
    assert parsed(MANIFEST.as_json()) == MANIFEST


def test_unidentified_source_survives_its_json() -> None:
    unidentified = replace(
        MANIFEST, source=SourcePosition(None, None, 5, 2**63 - 1, 2**63 - 1), full_read={}, tables={}
    )
    assert parsed(unidentified.as_json()) == unidentified


def test_rows_leave_out_empty_files() -> None:
    empty = StoredObject("data/design/batch=00000001/b.parquet", 0, 9, "b" * 64)
    manifest = replace(MANIFEST, tables={**MANIFEST.tables, "design": {"data": empty, "keys": empty}})
    assert manifest.rows() == {"staff": 3}
    assert manifest.rows("deleted") == {}
    assert manifest.objects("keys") == {"design": empty}


def test_newer_version_is_not_guessed() -> None:
    with pytest.raises(VersionUnknown) as caught:
        parsed({"version": VERSION + 1, "tables": "in another shape"})
    assert str(caught.value) == (
        f"{WHERE} is a manifest of version {VERSION + 1}; this release reads up to {VERSION}. "
        "Deploy the release that wrote it, or a later one."
    )


def test_manifest_of_the_first_version_is_read() -> None:
    assert parsed(MANIFEST.as_json() | {"version": 1}) == MANIFEST


def test_manifest_before_positions_has_its_snapshots_fence() -> None:
    """The manifest has version 2, as release 0.1 wrote it."""
    document = MANIFEST.as_json() | {"version": 2}
    del document["structure"]
    document["source"] = {name: document["source"][name] for name in ("system", "timeline", "database", "xmin", "xmax")}
    expected = replace(MANIFEST, structure=None, source=replace(MANIFEST.source, fence=MANIFEST.source.xmin))
    assert parsed(document) == expected


def test_batch_is_later_than_the_one_before() -> None:
    moment = MANIFEST.snapshot_at
    second, microsecond = timedelta(seconds=1), timedelta(microseconds=1)
    assert moment_after(None, moment) == moment
    assert moment_after(MANIFEST, moment + second) == moment + second
    assert [moment_after(MANIFEST, moment - ago) for ago in (timedelta(0), second)] == [moment + microsecond] * 2


def difference(name: str) -> dict[str, Any]:
    return {key: value for key, value in MANIFEST.as_json().items() if key != name}


STORED = MANIFEST.tables["staff"]["data"].as_json()


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "data must be object"),
        (difference("source"), r"data must contain \['source'\] properties"),
        (difference("version"), r"data must contain \['version'\] properties"),
        (MANIFEST.as_json() | {"batch": 0}, "data.batch must be bigger than or equal to 1"),
        (MANIFEST.as_json() | {"batch": "1"}, "data.batch must be integer"),
        (MANIFEST.as_json() | {"watermark": 1}, r"data must not contain \{'watermark'\} properties"),
        (MANIFEST.as_json() | {"tables": {"staff": {"data": STORED | {"sha256": "short"}}}}, "sha256 must match"),
        (MANIFEST.as_json() | {"snapshot_at": "yesterday"}, "Invalid isoformat string: 'yesterday'"),
    ],
)
def test_what_is_no_manifest_is_corrupt(document: object, complaint: str) -> None:
    with pytest.raises(CorruptObject, match=f"{WHERE} is not a manifest: .*{complaint}.* Restore its first version"):
        parsed(document)


@pytest.mark.parametrize("text", [b"", b'{"version": 1, "ba', b"\xff"])
def test_what_is_no_json_is_corrupt(text: bytes) -> None:
    with pytest.raises(CorruptObject, match=f"{WHERE} is not a manifest"):
        parse_manifest(text, WHERE)
