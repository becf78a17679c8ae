"""Works with many sales orders: measures the load of all, a few and no changes, beside other programs."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import floor, totesys
from benchmarks.bench import Bench, Work
from benchmarks.environment import Environment, environment
from benchmarks.peers.peer import Peer
from benchmarks.processes import once, warm
from benchmarks.rounds import Competitor, Line, OursFailed, Outcome, Target, take_turns

OURS, WARM = "totes", "totes, warm"
INGESTR = "ingestr, merge"
KEYED, BARE = "psql COPY, keyed table", "psql COPY, bare table"
TO_FILE, ASKED = "psql COPY to a file", "psql, asked"
SCAN, BEYOND_SCAN = "the scan of totes alone", "totes, warm, beyond its scan"
CHANGED = 100
# 250,000 rows per CPU second.
CPU_LIMIT_MICROSECONDS = 4.0
STAGES = ("ingest", "transform", "load")
# If nothing is new, the state machine skips Transform.
QUIET_STAGES = ("ingest", "load")


def filled(bench: Bench) -> contextlib.AbstractContextManager[Environment]:
    """Makes an environment with `bench.rows` orders."""
    bench.tell(f"filling totesys with {bench.rows:,} orders")
    return environment(partial(totesys.fill, rows=bench.rows))


def first_load(bench: Bench) -> Outcome:
    """Loads all orders into an empty warehouse, with all keys, references and checks."""
    with filled(bench) as at, warm(at.environment) as process:
        process.run(*STAGES)
        competitors = [
            Competitor(OURS, lambda: once(at.environment, *STAGES)[0], at.forget, partial(_check, at)),
            Competitor(WARM, lambda: process.seconds(*STAGES), at.forget, partial(_check, at)),
            *_peers(bench, at, forget=True),
            *(
                Competitor(
                    name,
                    partial(floor.copy_across, at.postgres, table),
                    partial(floor.forget, at.postgres, table),
                    partial(floor.check, at.postgres, table),
                )
                for name, table in ((KEYED, "keyed"), (BARE, "bare"))
            ),
        ]
        lines = take_turns(competitors, bench.rounds, bench.tell)
    lines += bench.absent
    own = [_cpu_a_row(line, bench.rows) for line in lines if line.name != WARM]
    return Outcome(
        [*lines, *own],
        [
            *_against_all({INGESTR: 1.0, KEYED: 1.4}, lines),
            Target(WARM, INGESTR, 0.85),
            Target(own[0].name, limit=CPU_LIMIT_MICROSECONDS),
        ],
    )


def extraction(bench: Bench) -> Outcome:
    """Extracts all orders from totesys to Parquet in the landing zone."""
    with filled(bench) as at, TemporaryDirectory(prefix="bench-") as folder, warm(at.environment) as process:

        def again() -> float:
            ingested = process.run("ingest")["ingest"]
            _require_all_landed(ingested, bench.rows)
            return float(ingested["seconds"])

        again()
        competitors = [
            Competitor(OURS, partial(_extract, at, bench.rows), at.forget),
            Competitor(WARM, again, at.forget),
            Competitor(TO_FILE, lambda: floor.copy_to_file(at.postgres, Path(folder) / "orders")),
        ]
        lines = take_turns(competitors, bench.rounds, bench.tell)
    return Outcome(lines, [Target(OURS, TO_FILE), Target(WARM, TO_FILE, 1.6)])


def changed(bench: Bench) -> Outcome:
    """Loads a few changed orders."""
    # Uses two equal environments, because rows that one of our processes has loaded are not new to the other.
    with _loaded(bench) as at, filled(bench) as beside, warm(beside.environment) as process:
        process.run(*STAGES)

        def amend(turn: int) -> None:
            for each in (at, beside):
                totesys.amend(each.postgres, bench.rows, CHANGED, turn + 1)

        competitors = [
            Competitor(OURS, lambda: once(at.environment, *STAGES)[0], check=partial(_check, at)),
            Competitor(WARM, lambda: process.seconds(*STAGES), check=partial(_check, beside)),
            *_peers(bench, at),
        ]
        lines = take_turns(competitors, bench.rounds, bench.tell, before_round=amend)
    lines += bench.absent
    return Outcome(lines, [*_against_all({INGESTR: 2.2}, lines), Target(WARM, INGESTR, 1.0)])


def unchanged(bench: Bench) -> Outcome:
    """Runs when nothing has changed."""
    with _loaded(bench) as at, warm(at.environment) as process, floor.scanning(at.postgres) as scan:
        process.run(*QUIET_STAGES)
        check = partial(_check_nothing_written, at, at.objects())
        competitors = [
            Competitor(OURS, lambda: once(at.environment, *QUIET_STAGES)[0], check=check),
            Competitor(WARM, lambda: process.seconds(*QUIET_STAGES), check=check),
            Competitor(SCAN, scan),
            *_peers(bench, at),
            Competitor(ASKED, partial(floor.ask_once, at.postgres)),
        ]
        lines = take_turns(competitors, bench.rounds, bench.tell)
    lines += [_beyond(*(line for line in lines if line.name in (WARM, SCAN))), *bench.absent]
    return Outcome(lines, [*_against_all({INGESTR: 1.6}, lines), Target(BEYOND_SCAN, limit=0.04)])


WORKS = (
    Work("first-load", "First load of all orders: landing, processed, warehouse", first_load),
    Work("extraction", "Extraction of all orders to Parquet in the landing zone", extraction),
    Work("changed", f"{CHANGED} orders changed, in a new process each", changed),
    Work("unchanged", "Nothing changed, in a new process each", unchanged),
)


@contextlib.contextmanager
def _loaded(bench: Bench) -> Iterator[Environment]:
    """Makes an environment in which all competitors have loaded everything."""
    with filled(bench) as at:
        bench.tell(f"first load: {OURS}")
        once(at.environment, *STAGES)
        for competitor in _peers(bench, at, forget=True):
            bench.tell(f"first load: {competitor.name}")
            # Ignores failures: a competitor that fails here fails again in the rounds and is reported there.
            take_turns([competitor], 1, lambda _step: None)
        yield at


def _peers(bench: Bench, at: Environment, *, forget: bool = False) -> list[Competitor]:
    def competitor(peer: Peer) -> Competitor:
        prepare = partial(peer.forget, at) if forget else lambda: None
        return Competitor(peer.name, partial(peer.run, at), prepare, partial(peer.check, at))

    return [competitor(peer) for peer in bench.peers]


def _cpu_a_row(line: Line, rows: int) -> Line:
    """Returns the CPU time per row of a competitor's own processes, without the servers."""
    microseconds = [cpu / rows * 1e6 for cpu in line.cpu]
    return Line(f"processor for a row, {line.name}", microseconds, unit="µs", trouble=line.trouble)


def _beyond(whole: Line, part: Line) -> Line:
    return Line(BEYOND_SCAN, [one - other for one, other in zip(whole.values, part.values, strict=True)])


def _extract(at: Environment, rows: int) -> float:
    seconds, answer = once(at.environment, "ingest")
    _require_all_landed(answer["ingest"], rows)
    return seconds


def _require_all_landed(ingested: dict[str, Any], rows: int) -> None:
    if (landed := ingested["result"]["rows"].get("sales_order")) != rows:
        raise OursFailed(f"{landed} of {rows} orders were landed")


def _check(at: Environment) -> None:
    """Checks that the warehouse has every row and value of totesys."""
    once(at.environment, "reconcile")


def _check_nothing_written(at: Environment, objects: list[tuple[str, str]]) -> None:
    if at.objects() != objects:
        raise OursFailed("the lake has grown, although nothing had changed")


def _against_all(limits: dict[str, float], lines: Sequence[Line]) -> list[Target]:
    """Returns a target for each competitor that did the same work, with its limit, if any."""
    not_compared = (OURS, WARM, SCAN, BEYOND_SCAN)
    return [Target(OURS, line.name, limits.get(line.name)) for line in lines if line.name not in not_compared]
