"""The definition of a work, and the options that it is run with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.peers.peer import Peer
from benchmarks.rounds import Line, Outcome, Tell


@dataclass(frozen=True)
class Bench:
    """The options of a benchmark.

    Attributes:
        rows: the number of sales orders in the large totesys.
        sizes: the numbers of sales orders for `growth`, ascending.
        rounds: the number of rounds.
        days: the number of simulated working days.
        peers: the competitors besides ours and psql.
        absent: the peers that can't run, with the reason.
        tell: called with each step's name.
    """

    rows: int
    sizes: Sequence[int]
    rounds: int
    days: int
    peers: Sequence[Peer]
    absent: Sequence[Line]
    tell: Tell


@dataclass(frozen=True)
class Work:
    """A workload to measure.

    Attributes:
        name: its name on the command line and in docs/performance.md's marks.
        title: its description in one line.
    """

    name: str
    title: str
    measure: Callable[[Bench], Outcome]
