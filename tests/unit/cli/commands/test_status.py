import io
from datetime import UTC, datetime, timedelta

import pytest

from cli.commands.status import PipelineStatus
from cli.progress import Freshness, LogHead
from cli.render.terminal import Screen
from cli.schedule import Schedule
from totes.alerts.executions import Execution

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
# The names of EventBridge's executions are as long.
NAME = f"{'c2dee63b-f275-42d6-a1a6-b553bee079bd'}_{'061e57aa-c653-4042-8e8e-fe9061a3a493'}"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_name_of_an_execution_is_whole_in_every_terminal(width: int) -> None:
    logs = [LogHead(log, 7, NOW, NOW, 105) for log in ("landed", "processed", "loaded")]
    executions = [Execution("arn", name, "SUCCEEDED", NOW, NOW + timedelta(seconds=2)) for name in (NAME, "short")]
    shown = PipelineStatus(
        logs, Freshness(NOW, timedelta(0)), Schedule("rule", "every 5 minutes", paused=False), executions
    )
    console = Screen(width=width, file=io.StringIO(), record=True)
    console.print(shown.view())
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert [line.split() for line in lines if "short" in line or NAME in line] == (
        [["11-23", "12:00:00", name, "SUCCEEDED", "2.0", "s"] for name in (NAME, "short")]
        if width == 120
        else [[NAME], ["short"]]
    )
    assert max(len(line) for line in lines if NAME not in line) <= width
