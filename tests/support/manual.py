"""Reads docs/deploy.md for tests that compare it with the code."""

import re

from local.aws.deployment import ROOT


def documented_actions() -> dict[str, set[str]]:
    """Returns the IAM actions that each command needs, as docs/deploy.md lists them."""
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    section = page.partition("\n## What an operator needs\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `totes ")]
    return {
        command: set(re.findall(r"`([a-z0-9]+:\w+)`", actions))
        for commands, actions in rows
        for command in re.findall(r"`totes ([a-z]+)`", commands)
    }
