"""`make bench` works. These tests leave other programs out and use tiny sizes, so they measure no speed."""

import re
import subprocess
import sys
import threading
import time
from contextlib import closing
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import pg8000.dbapi
import pytest

from benchmarks import report
from benchmarks.__main__ import WORKS
from benchmarks.rounds import Competitor, Line, Outcome, PeerFailed, Target, take_turns
from benchmarks.spans import FUNCTIONS, Record
from benchmarks.wire import Wire, counted
from local.aws.deployment import ROOT
from local.postgres.server import SOCKET_NAME, Postgres

_SECONDS = re.compile(r"^ (totes|psql COPY, keyed table) +([\d.]+) s ", re.MULTILINE)
_RATIO = re.compile(r"^ totes ÷ psql COPY, keyed table +([\d.,]+)", re.MULTILINE)


def test_quick_bench_prints_medians_and_their_ratio() -> None:
    page = report.PAGE.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    medians = {name: float(seconds) for name, seconds in _SECONDS.findall(done.stdout)}
    (ratio,) = _RATIO.findall(done.stdout)
    assert medians["totes"] > 0
    # The report rounds the floor to hundredths of a second, a large part of such a small value.
    floor = medians["totes"] / float(ratio.replace(",", ""))
    assert floor == pytest.approx(medians["psql COPY, keyed table"], abs=0.006)
    assert "round 1 of 1: totes" in done.stderr
    assert report.PAGE.read_bytes() == page


def test_unknown_work_is_refused_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "all"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "first-load" in done.stderr


def test_page_has_a_place_for_every_work(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_bytes(report.PAGE.read_bytes())
    for work in [*WORKS, "profile"]:
        report.replace(work, f"Of {work}.\n", page)
        assert f"-->\nOf {work}.\n<!-- /" in page.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no place for bench:another"):
        report.replace("another", "", page)


def test_who_fails_is_out_and_the_others_go_on() -> None:
    turns = []

    def fail() -> float:
        turns.append("failing")
        raise PeerFailed("it can't")

    def succeed() -> float:
        turns.append("other")
        return float(len(turns))

    lines = take_turns([Competitor("failing", fail), Competitor("other", succeed)], 3, lambda _step: None)
    assert turns == ["failing", "other", "other", "other"]
    assert [(line.trouble, line.values) for line in lines] == [("it can't", []), ("", [2.0, 3.0, 4.0])]
    verdict, absent = Outcome(lines, [Target("other", limit=2.9), Target("other", "failing", 1.0)]).verdicts()
    assert (verdict.value, verdict.met) == (3.0, False)
    assert (absent.value, absent.met) == (None, None)


def test_each_round_begins_with_another() -> None:
    turns: list[str] = []
    competitors = [Competitor(name, lambda name=name: float(turns.append(name) or 1)) for name in "abc"]
    take_turns(competitors, 3, lambda _step: None)
    assert "".join(turns) == "abcbcacab"


def test_ratio_is_of_the_medians() -> None:
    outcome = Outcome([Line("ours", [1.0, 9.0, 2.0]), Line("theirs", [8.0, 1.0, 4.0])], [Target("ours", "theirs", 0.5)])
    expected = ("ours ÷ theirs", "0.50x", "1.00x", "0.50x", "met")
    assert report.compared(outcome) == [tuple(value.replace("x", report.TIMES) for value in expected)]
    assert report.measured(outcome)[0] == ("ours", "2.00 s", "1.00 s", "9.00 s")


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, name, _ in FUNCTIONS])
def test_profile_looks_at_what_there_is(module: str, name: str) -> None:
    assert callable(attrgetter(name)(import_module(module)))


def test_span_leaves_out_what_spans_inside_it_take() -> None:
    record = Record()
    with record.span("outer"), record.span("inner"):
        sum(range(2_000_000))
    (_, outer, _), (_, inner, _) = (record.rows()["spans"][name] for name in ("outer", "inner"))
    assert outer < inner


def test_span_of_another_thread_is_not_taken_from_the_one_around_it() -> None:
    record = Record()

    def work() -> None:
        with record.span("beside"):
            time.sleep(0.05)

    with record.span("outer"):
        beside = threading.Thread(target=work)
        beside.start()
        beside.join()
    assert record.rows()["spans"]["outer"][0] >= record.rows()["spans"]["beside"][0] >= 0.05


def test_round_trips_are_counted_on_the_wire(postgres: Postgres) -> None:
    with counted(postgres.host) as wire:
        before, after_three = _trips(wire, 0), _trips(wire, 3)
    assert before >= 1
    # The driver flushes once to prepare a statement and once to run it, or once for both.
    assert after_three - before in (3, 6)


def _trips(wire: Wire, statements: int) -> int:
    """Returns the number of round trips that it takes to connect and to run some statements."""
    already = wire.round_trips
    connection = pg8000.dbapi.connect(
        Postgres.superuser, unix_sock=f"{wire.host}/{SOCKET_NAME}", database=Postgres.superuser, ssl_context=False
    )
    with closing(connection):
        connection.autocommit = True
        for _ in range(statements):
            connection.cursor().execute("SELECT 1")
    return wire.round_trips - already
