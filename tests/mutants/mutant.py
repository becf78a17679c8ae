"""Reads the mutants from mutants.toml: small sabotages of the promise, each with the tests that must fail."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("mutants.toml")
ROOT = Path(__file__).parents[2]


class MutantInvalid(Exception):
    """The list is stale: a mutant no longer fits the code that it sabotages."""


@dataclass(frozen=True)
class Mutant:
    """One sabotage.

    Attributes:
        breaks: what it breaks, in one sentence.
        file: the path of the file that it changes, from the project's root.
        old: the text that it replaces: the file's only such text, or the first one after `after`.
        new: the replacement.
        tests: paths or node ids, as few as catch it.
        after: a text that the file has once; empty if `old` is the only one.
    """

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    after: str = ""

    def applied(self, text: str) -> str:
        """Returns the file's text with the sabotage in it.

        Raises:
            MutantInvalid: the text to replace is not clear.
        """
        only = self.after or self.old
        if text.count(only) != 1:
            raise MutantInvalid(
                f"{self.name}: {self.file} has {text.count(only)} of what it should have one of: {only}"
            )
        before, anchor, rest = text.partition(self.after) if self.after else ("", "", text)
        if self.old not in rest:
            raise MutantInvalid(f"{self.name}: {self.file} has no such text after its anchor: {self.old}")
        return before + anchor + rest.replace(self.old, self.new, 1)


def read_mutants(path: Path = LIST) -> tuple[Mutant, ...]:
    """Returns all mutants, in the order of the list."""
    declared = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return tuple(Mutant(**fields | {"tests": tuple(fields["tests"])}) for fields in declared)
