"""Decides which failures send an e-mail, as a pure function of earlier failures; and the e-mails of a weekend."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from totes.alerts.repeats import Attempt, Intervals, Kind, LastMail, decide, in_words
from totes.errors import SettingsInvalid

HOUR = timedelta(hours=1)
INTERVALS = Intervals([HOUR, 24 * HOUR])
FRIDAY = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
LOAD, INGEST = Kind("Load", "WarehouseUnreachable"), Kind("Ingest", "SourceUnreachable")


def at(hours: float) -> datetime:
    return FRIDAY + timedelta(hours=hours)


def known(kind: Kind, hours: float, told: LastMail | None) -> Attempt:
    return Attempt("an-execution", kind, at(hours), is_known=True, last_mail=told)


def unknown(kind: Kind, hours: float, name: str = "aborted") -> Attempt:
    return Attempt(name, kind, at(hours))


@pytest.mark.parametrize(
    ("mails", "hours", "due"),
    [(1, 0.5, False), (1, 0.98, False), (1, 1, True), (2, 1, False), (2, 23.9, False), (2, 24, True), (9, 24, True)],
)
def test_second_mail_comes_after_an_hour_and_others_after_a_day(mails: int, hours: float, due: bool) -> None:
    told = LastMail("first", at(0), mails)
    decision = decide(LOAD, at(hours), [known(LOAD, hours - 0.1, told)], INTERVALS)
    assert (decision.is_due, decision.last_mail) == (due, told)
    assert decision.again == (HOUR if mails == 1 and not due else 24 * HOUR)


def test_execution_that_fails_some_seconds_sooner_is_not_too_soon() -> None:
    told = LastMail("first", at(0), 1)
    assert decide(LOAD, at(1) - timedelta(seconds=50), [known(LOAD, 0.9, told)], INTERVALS).is_due


@pytest.mark.parametrize(
    "other",
    [
        Kind("Transform", "WarehouseUnreachable"),
        Kind("Load", "WarehouseBusy"),
        Kind("Load", "WarehouseUnreachable", "dim_staff"),
    ],
    ids=["stage", "error", "table"],
)
def test_another_stage_error_or_table_is_a_first_failure(other: Kind) -> None:
    decision = decide(other, at(0.1), [known(LOAD, 0, LastMail("first", at(0), 1))], INTERVALS)
    assert (decision.is_due, decision.last_mail, decision.again) == (True, None, HOUR)


def test_failures_before_are_read_no_further_than_needed() -> None:
    read = []

    def newest_first() -> Iterator[Attempt]:
        for number in range(100):
            read.append(number)
            yield known(LOAD if number % 2 else INGEST, 10 - number / 12, LastMail("first", at(9.5), 1))

    assert not decide(LOAD, at(10), newest_first(), INTERVALS).is_due
    assert read == [0, 1]


def test_mail_that_was_not_sent_silences_none() -> None:
    assert decide(LOAD, at(0.1), [known(LOAD, 0, None)], INTERVALS).is_due
    before = LastMail("first", at(-2), 1)
    assert decide(LOAD, at(0.1), [known(LOAD, 0, before)], INTERVALS).is_due


def test_what_the_rule_has_told_is_known_by_the_rule() -> None:
    stops = [unknown(LOAD, hours, f"stopped-{hours}") for hours in (2.5, 2, 1, 0.5, 0)]
    assert decide(LOAD, at(3), stops, INTERVALS).last_mail == LastMail("stopped-1", at(1), 2)
    known_before = [unknown(LOAD, 1.5, "late"), known(LOAD, 0.1, LastMail("first", at(0), 1))]
    assert decide(LOAD, at(3), known_before, INTERVALS).last_mail == LastMail("late", at(1.5), 2)


def test_told_outlives_the_state_machine() -> None:
    told = LastMail("first", at(0.25), 3)
    assert LastMail.from_json(told.as_json()) == told


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("1h,24h", [HOUR, 24 * HOUR]),
        ("1h, 1d", [HOUR, 24 * HOUR]),
        ("5m", [HOUR / 12]),
        ("90m,2d", [1.5 * HOUR, 48 * HOUR]),
    ],
)
def test_intervals_are_read(text: str, spans: list[timedelta]) -> None:
    assert Intervals.parse(text).spans == spans


@pytest.mark.parametrize("text", ["", "1h,", "1", "0h", "4m", "1.5h", "1 hour", "-1h", "1h;24h", "100000h", "30s"])
def test_other_intervals_are_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="Expected: times of at least 5m") as caught:
        Intervals.parse(text)
    assert repr(text) in caught.value.found
    assert "mailIntervals" in caught.value.remedy


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(5, "5 minutes"), (60, "1 hour"), (90, "90 minutes"), (1440, "24 hours"), (2880, "2 days"), (1500, "25 hours")],
)
def test_interval_is_said_as_a_reader_says_it(minutes: int, words: str) -> None:
    assert in_words(timedelta(minutes=minutes)) == words
