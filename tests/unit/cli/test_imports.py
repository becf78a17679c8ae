"""The imports of `--help`: none takes longer than showing the help."""

import subprocess
import sys

from cli.main import COMMANDS
from local.aws.deployment import ROOT

SLOW = {"boto3", "flask", "moto", "numpy", "pandas", "pyarrow", "sqlalchemy"}
SHOW_ALL_HELP = f"""
import contextlib, io, sys
from cli.main import main
with contextlib.redirect_stdout(io.StringIO()) as shown:
    for verb in [[], {", ".join(repr([command.__name__]) for command in COMMANDS)}]:
        assert main([*verb, "--help"]) == 0
print(*{SLOW} & sys.modules.keys())
"""


def test_help_imports_nothing_slow() -> None:
    done = subprocess.run([sys.executable, "-c", SHOW_ALL_HELP], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
