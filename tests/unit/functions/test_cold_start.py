"""The imports of a function: the SDK at its cold start, when it has a whole processor, and otherwise only needed
modules.
"""

import subprocess
import sys

import pytest

from local.aws.deployment import ROOT
from tests.support.pipeline import Pipeline
from totes.runtime.names import FUNCTIONS, STAGES
from totes.verify.doctor.inside import EXAMINED

# These take a quarter of a second, a fifth, and more than half.
HEAVY = ("sqlalchemy", "pyarrow", "numpy", "pandas")
# These call only S3, or nothing.
WITHOUT_THE_SDK = {"transform", "fail"}
ORDER = [stage.lower() for stage in STAGES]
CHANGE = "UPDATE design SET file_location = '/new' WHERE design_id = 1"


def imported_by(function: str) -> set[str]:
    """Returns the modules that a process has after it has imported a function."""
    program = f"import sys, functions.{function}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_imports_the_sdk_before_it_is_called_or_never(function: str) -> None:
    assert ("boto3" in imported_by(function)) == (function not in WITHOUT_THE_SDK)


@pytest.mark.parametrize("function", EXAMINED)
def test_examination_is_imported_when_it_is_asked_for(function: str) -> None:
    assert [name for name in imported_by(function) if name.startswith("totes.verify")] == []


@pytest.mark.parametrize("function", ORDER)
def test_stage_imports_what_reads_rows_and_writes_ddl_when_it_is_needed(function: str) -> None:
    assert imported_by(function).isdisjoint(HEAVY)


@pytest.mark.parametrize("stage", ORDER)
def test_run_that_finds_nothing_imports_nothing_more(
    seeded: Pipeline, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    run = getattr(seeded, stage)
    run()
    with monkeypatch.context() as patch:
        only(imported_by(stage), patch)

        run()
    # A run that has something to do imports more.
    seeded.totesys(CHANGE)
    for before in ORDER[: ORDER.index(stage)]:
        getattr(seeded, before)()
    with monkeypatch.context() as patch:
        only(imported_by(stage), patch)
        with pytest.raises(ImportError):
            run()


def only(modules: set[str], patch: pytest.MonkeyPatch) -> None:
    """Allows only these modules of ours, and only these of the slow ones."""
    for name in [*sys.modules, *HEAVY]:
        if name not in modules and name.partition(".")[0] in ("totes", *HEAVY):
            patch.setitem(sys.modules, name, None)
