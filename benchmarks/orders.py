"""Works on many sales orders: how fast all of them, a few, and none are brought over, beside what others take."""

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
from local.postgres.databases import WAREHOUSE

OURS, WARM = "totes", "totes, warm"
KEYED, BARE = "psql COPY, keyed table", "psql COPY, bare table"
TO_FILE, ASKED = "psql COPY to a file", "psql, asked"
CHANGED = 100
STAGES = ("ingest", "transform", "load")
# Where nothing is new, the state machine passes transform by.
QUIET_STAGES = ("ingest", "load")


def filled(bench: Bench) -> contextlib.AbstractContextManager[Environment]:
    """A world with as many orders as are asked for."""
    bench.tell(f"filling totesys with {bench.rows:,} orders")
    return environment(partial(totesys.fill, rows=bench.rows))


def first_load(bench: Bench) -> Outcome:
    """All orders, from nothing to a warehouse with all keys, references and checks."""
    with filled(bench) as at:
        competitors = [
            Competitor(OURS, lambda: once(at.environment, *STAGES)[0], at.forget, partial(_check, at)),
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
    limits = {"ingestr, merge": 0.7, "dlt, merge": 0.35, KEYED: 1.0}
    return Outcome([*lines, *bench.absent], _against_all(limits, [*lines, *bench.absent]))


def extraction(bench: Bench) -> Outcome:
    """All orders, from totesys to Parquet in the landing zone."""
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
    return Outcome(lines, [Target(OURS, TO_FILE, 2.0), Target(WARM, TO_FILE, 2.0)])


def changed(bench: Bench) -> Outcome:
    """A few orders among all were changed."""
    with _loaded(bench) as at:
        amend = partial(totesys.amend, at.postgres, bench.rows, CHANGED)
        competitors = [
            Competitor(OURS, lambda: once(at.environment, *STAGES)[0], check=partial(_check, at)),
            *_peers(bench, at),
        ]
        lines = take_turns(competitors, bench.rounds, bench.tell, before_round=lambda turn: amend(turn + 1))
        with warm(at.environment) as process:
            process.run(*QUIET_STAGES)
            again = [Competitor(WARM, lambda: process.seconds(*STAGES), check=partial(_check, at))]
            lines += take_turns(
                again, bench.rounds, bench.tell, before_round=lambda turn: amend(bench.rounds + turn + 1)
            )
    limits = {"ingestr, merge": 1.0, "dlt, merge": 0.2}
    return Outcome(
        [*lines, *bench.absent],
        [*_against_all(limits, [*lines, *bench.absent]), Target(WARM, limit=0.3)],
    )


def unchanged(bench: Bench) -> Outcome:
    """Nothing was changed."""
    with _loaded(bench) as at:
        objects = at.objects()
        competitors = [
            Competitor(
                OURS, lambda: once(at.environment, *QUIET_STAGES)[0], check=partial(_check_nothing_written, at, objects)
            ),
            *_peers(bench, at),
            Competitor(ASKED, partial(floor.ask_once, at.postgres)),
        ]
        lines = take_turns(competitors, bench.rounds, bench.tell)
    limits = {"ingestr, merge": 0.7, "dlt, merge": 0.15}
    return Outcome([*lines, *bench.absent], _against_all(limits, [*lines, *bench.absent]))


WORKS = (
    Work("first-load", "First load of all orders: landing, processed, warehouse", first_load),
    Work("extraction", "Extraction of all orders to Parquet in the landing zone", extraction),
    Work("changed", f"{CHANGED} orders changed, in a process of its own", changed),
    Work("unchanged", "Nothing changed, in a process of its own", unchanged),
)


@contextlib.contextmanager
def _loaded(bench: Bench) -> Iterator[Environment]:
    """A world in which everybody has loaded everything."""
    with filled(bench) as at:
        bench.tell(f"first load: {OURS}")
        once(at.environment, *STAGES)
        for competitor in _peers(bench, at, forget=True):
            bench.tell(f"first load: {competitor.name}")
            # Who fails here fails in the rounds again, and is told there.
            take_turns([competitor], 1, lambda _step: None)
        yield at


def _peers(bench: Bench, at: Environment, *, forget: bool = False) -> list[Competitor]:
    def competitor(peer: Peer) -> Competitor:
        prepare = partial(peer.forget, at) if forget else lambda: None
        return Competitor(peer.name, partial(peer.run, at), prepare, partial(peer.check, at))

    return [competitor(peer) for peer in bench.peers]


def _extract(at: Environment, rows: int) -> float:
    seconds, answer = once(at.environment, "ingest")
    _require_all_landed(answer["ingest"], rows)
    return seconds


def _require_all_landed(ingested: dict[str, Any], rows: int) -> None:
    if (landed := ingested["result"]["rows"].get("sales_order")) != rows:
        raise OursFailed(f"{landed} of {rows} orders were landed")


def _check(at: Environment) -> None:
    """Makes sure that the warehouse has what totesys has."""
    found, expected = totesys.content(at.postgres, WAREHOUSE, "current_sales_order"), totesys.content(at.postgres)
    if found != expected:
        raise OursFailed(f"rows and sums are {found} in the warehouse, {expected} in totesys")


def _check_nothing_written(at: Environment, objects: list[tuple[str, str]]) -> None:
    if at.objects() != objects:
        raise OursFailed("the lake has grown, though nothing had changed")


def _against_all(limits: dict[str, float], lines: Sequence[Line]) -> list[Target]:
    """A ratio to everybody; a limit where one was set."""
    return [Target(OURS, line.name, limits.get(line.name)) for line in lines if line.name not in (OURS, WARM)]
