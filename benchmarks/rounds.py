"""Runs competitors in rounds, and compares their results.

The runs are interleaved, because a machine's speed varies: a disturbance then affects all competitors. The results are
medians, because a disturbance only ever makes a run slower.
"""

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

Tell = Callable[[str], object]


class PeerFailed(Exception):
    """Another program failed or gave a wrong result. The message is one line."""


class OursFailed(Exception):
    """Our own code failed, so a comparison makes no sense."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Competitor:
    """A competitor.

    Attributes:
        run: does the measured work and returns its seconds.
        prepare: called before it in every round, not timed.
        check: raises PeerFailed or OursFailed if the result is wrong.
    """

    name: str
    run: Callable[[], float]
    prepare: Callable[[], object] = _nothing
    check: Callable[[], object] = _nothing


@dataclass
class Line:
    """One competitor's results: a value per round, or an error.

    Attributes:
        cpu: the CPU seconds of the processes that each run started, without the servers.
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
    """The limit for the ratio ours ÷ theirs, or for ours alone. Without a limit, the value is only shown."""

    ours: str
    theirs: str = ""
    limit: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A target's result.

    Attributes:
        value: the ratio of the medians; None if one of the two was not measured.
        least: the ratio of the minimums, which a busy machine affects less.
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
    """A work's lines and targets.

    Attributes:
        how: the number of runs in words, if it differs from the given rounds.
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
    """Runs each competitor once a round. A competitor that fails is not run again; its line has the error.

    Args:
        before_round: called before each round with its number, from 0.
        in_order: whether each run depends on the one before. If not, each round starts with another competitor.
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
