"""A stale list of mutants is noticed here. `make mutants` tries the mutants; these tests only compare them with the
code.
"""

import ast
import json
from functools import cache
from pathlib import Path

import pytest

from tests.mutants.mutant import ROOT, Mutant, MutantInvalid, read_mutants

MUTANTS = read_mutants()


@cache
def functions_of(path: Path) -> frozenset[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) > 40


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_still_fits_the_code(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    sabotaged = mutant.applied(text)
    assert sabotaged != text
    # A mutant that can't be parsed would make any test fail.
    if mutant.file.endswith(".py"):
        ast.parse(sabotaged)
    elif mutant.file.endswith(".json"):
        json.loads(sabotaged)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_tests_that_are_to_catch_it_are_there(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        path, _, function = test.partition("::")
        assert function.partition("[")[0] in functions_of(ROOT / path) or not function, f"{test} is not there"


@pytest.mark.parametrize(
    ("old", "after", "complaint"),
    [
        ("gone", "", "has 0 of what it should have one of: gone"),
        ("a", "", "has 2 of what it should have one of: a"),
        ("b", "a", "has 2 of what it should have one of: a"),
        ("b", "c", "has no such text after its anchor: b"),
    ],
)
def test_text_that_is_not_the_only_one_is_refused(old: str, after: str, complaint: str) -> None:
    with pytest.raises(MutantInvalid, match=complaint):
        Mutant("m", "", "f", old, "x", (), after).applied("abac")


def test_first_text_after_the_anchor_is_taken_out() -> None:
    assert Mutant("m", "", "f", "a", "x", (), after="b").applied("abaca") == "abxca"
