"""Rounds in which everybody takes a turn, and what comes out of them.

Interleaved, because a machine is not as fast all day: what disturbs one disturbs the others as well. Medians, because
a disturbance is never in somebody's favour.
"""

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

Tell = Callable[[str], object]


class PeerFailed(Exception):
    """Somebody else's program did not do it, or not rightly; the message is one line."""


class OursFailed(Exception):
    """What is measured does not work; no comparison makes sense."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Competitor:
    """Somebody who takes part.

    Attributes:
        run: what is measured; returns the seconds.
        prepare: what comes before it in every round, not on the clock.
        check: raises PeerFailed or OursFailed where what was made is wrong.
    """

    name: str
    run: Callable[[], float]
    prepare: Callable[[], object] = _nothing
    check: Callable[[], object] = _nothing


@dataclass
class Line:
    """What was measured of one contestant: a value per round, or what went wrong.

    Attributes:
        cpu: seconds of processors that the processes took which a turn started and ended, without the servers.
    """

    name: str
    values: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    unit: str = "s"
    trouble: str = ""

    @property
    def median(self) -> float:
        return median(self.values)


@dataclass(frozen=True)
class Target:
    """How much of theirs ours may take at most; without theirs, how much ours may be. No limit: for information."""

    ours: str
    theirs: str = ""
    limit: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A target and what came of it.

    Attributes:
        value: of the medians; None where one of the two was not measured.
        least: the same of the least values: what is left of it where a machine is busy with other things.
    """

    target: Target
    value: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool | None:
        if self.value is None or self.target.limit is None:
            return None
        return self.value <= self.target.limit


@dataclass(frozen=True)
class Outcome:
    """The lines of one work, and its targets.

    Attributes:
        how: how often it was done, where that is not as many rounds as were asked for.
    """

    lines: Sequence[Line]
    targets: Sequence[Target]
    how: str = ""

    def line(self, name: str) -> Line:
        return next(line for line in self.lines if line.name == name)

    def verdicts(self) -> list[Verdict]:
        return [self._verdict(target) for target in self.targets]

    def _verdict(self, target: Target) -> Verdict:
        names = [name for name in (target.ours, target.theirs) if name]
        compared = [line for name in names for line in self.lines if line.name == name and line.values]
        if len(compared) < len(names) or any(line.trouble for line in compared):
            return Verdict(target)
        (ours, least), *theirs = [(line.median, min(line.values)) for line in compared]
        for their_median, their_least in theirs:
            ours, least = ours / their_median, least / their_least
        return Verdict(target, ours, least)


def take_turns(
    competitors: Sequence[Competitor],
    rounds: int,
    tell: Tell,
    before_round: Callable[[int], object] = lambda _round: None,
    in_order: bool = False,
) -> list[Line]:
    """Everybody once a round; who fails is out, with the reason.

    Args:
        before_round: is told the number of each round, from 0 on, before it begins.
        in_order: whether one builds on the other; otherwise each round begins with another.
    """
    lines = {competitor.name: Line(competitor.name) for competitor in competitors}
    for turn in range(rounds):
        before_round(turn)
        first = 0 if in_order else turn % len(competitors)
        for competitor in (*competitors[first:], *competitors[:first]):
            line = lines[competitor.name]
            if line.trouble:
                continue
            tell(f"round {turn + 1} of {rounds}: {competitor.name}")
            try:
                competitor.prepare()
                before = _cpu_of_children()
                seconds = competitor.run()
                cpu = _cpu_of_children() - before
                competitor.check()
                line.values.append(seconds)
                line.cpu.append(cpu)
            except PeerFailed as error:
                line.trouble = str(error)
    return list(lines.values())


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
