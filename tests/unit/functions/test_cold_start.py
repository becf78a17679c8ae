"""What a function does at its cold start, when it has a whole processor."""

import subprocess
import sys

import pytest

from local.aws.deployment import ROOT
from totes.runtime.names import FUNCTIONS
from totes.verify.doctor.inside import EXAMINED


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_imports_the_sdk_before_it_is_called(function: str) -> None:
    program = f"import sys, functions.{function}; sys.exit('boto3' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("function", EXAMINED)
def test_examination_is_imported_when_it_is_asked_for(function: str) -> None:
    program = (
        f"import sys, functions.{function}; print(*(name for name in sys.modules if name.startswith('totes.verify')))"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert ran.stdout.split() == []
