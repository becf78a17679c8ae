"""What a work is given, and what it says of itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.peers.peer import Peer
from benchmarks.rounds import Line, Outcome, Tell


@dataclass(frozen=True)
class Bench:
    """How much is to be measured.

    Attributes:
        rows: sales orders of the large totesys.
        sizes: sales orders of the totesys by which growth is told, in ascending order.
        rounds: how often everybody has a turn.
        days: how many working days are simulated.
        peers: who takes part besides us and psql.
        absent: peers that can't, with the reason.
        tell: is told what goes on.
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
    """Something that is measured.

    Attributes:
        name: by which it is asked for, and by which docs/performance.md has its place.
        title: what it is, in one line.
    """

    name: str
    title: str
    measure: Callable[[Bench], Outcome]
