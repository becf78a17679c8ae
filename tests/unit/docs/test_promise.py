"""Each claim of docs/promise.md names tests that exist."""

import re
from pathlib import Path

import pytest

from local.aws.deployment import ROOT

PROMISE = (ROOT / "docs" / "promise.md").read_text(encoding="utf-8")
PROMISED = PROMISE.partition("\n## What is promised\n")[2].partition("\n## What is assumed\n")[0]
CLAIMS = [" ".join(claim.split()) for claim in re.findall(r"^- (.*?)(?=^- |^#|\Z)", PROMISED, re.MULTILINE | re.DOTALL)]
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in Path(ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim[:40])
def test_claim_is_held_by_tests_that_exist(claim: str) -> None:
    names = re.findall(r"`(test_\w+)`", claim)
    faults = re.findall(r"\bF\d\d\b", claim)
    assert names or faults, f"{claim} names no test"
    missing = [name for name in names if f"def {name}(" not in TESTS]
    missing += [number for number in faults if f"def test_{number.lower()}_" not in TESTS]
    assert missing == []
