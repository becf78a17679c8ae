"""Nothing is lost and nothing doubled, whatever writers, executions and crashes come between each other.

Every run draws other interleavings. One that fails is kept in .hypothesis and tried first the next time; its blob
brings it back as well, by @reproduce_failure on `machine`. With MODEL_SECONDS, which `make soak` sets, it goes on for
as long, and an example that fails is made as small as it gets.
"""

import os
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from moto import mock_aws

from local.postgres import Postgres
from tests.back_office import FOUNDATION
from tests.conftest import MakesPipelines
from tests.interleaving import Interleaving, Tally
from totes.database import WAREHOUSE

SECONDS = float(os.environ.get("MODEL_SECONDS", "0"))
SETTINGS = settings(
    max_examples=8,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    # Every step takes its time, and no two hosts the same.
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate, *([Phase.target, Phase.shrink] if SECONDS else [])],
)


@pytest.fixture
def founded_totesys(postgres: Postgres, empty_totesys: str) -> str:
    """The name of a template database: totesys with what orders refer to, and no order."""
    postgres.execute(f"CREATE DATABASE template_founded TEMPLATE {empty_totesys}")
    for statement in FOUNDATION:
        postgres.execute(statement, "template_founded")
    return "template_founded"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An execution that comes in the middle of another one would wait in vain: that one goes on after it."""
    monkeypatch.setattr("totes.snapshot.LOCKING_SECONDS", 0.05)
    hasty = replace(WAREHOUSE, session={**WAREHOUSE.session, "lock_timeout": "50ms"})
    monkeypatch.setattr("totes.load.WAREHOUSE", hasty)


@pytest.mark.usefixtures("impatient")
def test_no_interleaving_loses_or_doubles_anything(
    stacked_pipelines: MakesPipelines, founded_totesys: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tally, end = Tally(), time.monotonic() + SECONDS

    def machine() -> Interleaving:
        return Interleaving(stacked_pipelines(founded_totesys), tally)

    try:
        with mock_aws():
            run_state_machine_as_test(machine, settings=SETTINGS)
            while time.monotonic() < end:
                run_state_machine_as_test(machine, settings=SETTINGS)
    except Exception:
        tally.violations += 1
        raise
    finally:
        if SECONDS:
            with capsys.disabled():
                print(f"\n{tally}")  # noqa: T201  what a soak is for
