from dataclasses import replace

import pytest

from totes.postgres.position import SourcePosition, reaches

POSITION = SourcePosition("7437", 1, 16_384, xmin=1_000, xmax=1_010, started_at="2026-11-29T08:00:00Z")


@pytest.mark.parametrize(
    ("known", "now", "same"),
    [
        (POSITION, replace(POSITION, timeline=2, started_at=None), True),
        (POSITION, replace(POSITION, system=None), True),
        (POSITION, replace(POSITION, system="7438"), False),
        (POSITION, replace(POSITION, database=1), False),
        (POSITION, replace(POSITION, system=None, database=1), False),
    ],
)
def test_source_is_the_same_unless_it_says_otherwise(known: SourcePosition, now: SourcePosition, same: bool) -> None:
    assert known.is_same_source(now) is now.is_same_source(known) is same


@pytest.mark.parametrize(
    ("lsn", "end", "reached"),
    [
        ("16/B374D848", "16/B374D848", True),
        ("16/B374D849", "16/B374D848", True),
        ("16/B374D847", "16/B374D848", False),
        # Neither as text nor by the second half alone.
        ("100/0", "FF/FFFFFFFF", True),
        ("FF/FFFFFFFF", "100/0", False),
    ],
)
def test_positions_are_compared_as_numbers(lsn: str, end: str, reached: bool) -> None:
    assert reaches(lsn, end) is reached


@pytest.mark.parametrize(
    ("lsn", "end", "reached"),
    [
        ("16/B3742000", "16/B3742018", True),
        ("16/B3000000", "16/B3000028", True),
        ("16/B3742400", "16/B3742418", True),
        ("16/B3000000", "16/B3000029", False),
        ("16/B3742008", "16/B3742018", False),
    ],
    ids=["a page's", "a file's", "a small page's", "a record besides", "within a page"],
)
def test_page_header_is_nothing_to_wait_for(lsn: str, end: str, reached: bool) -> None:
    assert reaches(lsn, end) is reached
