"""What a function does at its cold start, when it has a whole processor."""

import subprocess
import sys

import pytest

from local.aws.deployment import ROOT
from totes.runtime.names import FUNCTIONS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_imports_the_sdk_before_it_is_called(function: str) -> None:
    program = f"import sys, functions.{function}; sys.exit('boto3' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
