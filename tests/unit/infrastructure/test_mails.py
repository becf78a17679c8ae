"""resources/mails.js: the parameters of e-mails are checked before anything is deployed."""

import json
import shutil
import subprocess

import pytest

from local.aws.deployment import ROOT, SERVERLESS, Deployment
from tests.unit.infrastructure.template import Template
from totes.alerts.repeats import Intervals
from totes.errors import SettingsInvalid

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
CHECK = """
const given = { "param:mailIntervals": process.argv[1], "param:chat": process.argv[2] };
require("./resources/mails.js")({ resolveVariable: async (name) => given[name] })
  .then((mails) => console.log(JSON.stringify(mails)))
  .catch((error) => { console.error(error.message); process.exitCode = 1; });
"""


def checked(intervals: str, chat: str = "false") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["node", "-e", CHECK, intervals, chat], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("intervals", ["1h,24h", "1h, 1d", "5m", "4m", "1h,", "1", "0h", "1.5h", "30s", "1h;24h"])
def test_deployment_accepts_what_the_functions_do(intervals: str) -> None:
    try:
        Intervals.parse(intervals)
    except SettingsInvalid:
        refused = checked(intervals)
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"The parameter mailIntervals is {intervals}, expected times of at least 5m")
        assert '--param="mailIntervals=' in refused.stderr
    else:
        assert json.loads(checked(intervals).stdout) == {"intervals": intervals, "chat": "false"}


def test_chat_is_on_or_off() -> None:
    assert json.loads(checked("1h,24h", "true").stdout)["chat"] == "true"
    refused = checked("1h,24h", "slack")
    assert refused.returncode == 1
    assert refused.stderr.startswith("The parameter chat is slack, expected true or false.")


def test_functions_get_what_was_checked() -> None:
    for function in ("report", "watch"):
        environment = Template().functions[function]["environment"]
        assert environment["TOTES_MAIL_INTERVALS"] == "${file(resources/mails.js):intervals}"
        assert environment["TOTES_CHAT"] == "${file(resources/mails.js):chat}"


def test_chat_is_off_unless_somebody_turns_it_on() -> None:
    assert Deployment("prod").parameter("mailIntervals") == "1h,24h"
    assert "chat: ${env:TOTES_CHAT, 'false'}" in SERVERLESS.read_text(encoding="utf-8")
