"""`totes doctor`: checks a whole stage, from outside and from inside its functions."""

from collections import Counter
from datetime import UTC, datetime

import typer
from rich.text import Text

from cli.deployment import target
from cli.errors import FAILED
from cli.render.terminal import AsJson, complaints, say_json, screen


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check a whole stage, and give a remedy for each problem.

    With your rights, it checks the stack, the schedule, the last executions, the alerts' subscribers, alarms, queues,
    metrics, secrets and buckets. The functions check both databases, TLS, clocks and the lake, with their own rights.

    Writes nothing and disturbs no execution. If you lack a right, the check that needs it is listed as unknown.

    Exit code: 1 if a check failed; 0 if there are only warnings.
    """
    from cli.doctor.examination import examine
    from cli.render.doctor import show_findings
    from totes.verify.doctor.findings import Level

    names = target(context).connect()
    with complaints().status("connecting") as status:
        found = examine(names, status.update)
    if as_json:
        counts = Counter(finding.level for finding in found)
        say_json(
            {
                "stage": names.stage,
                "region": names.region,
                "at": datetime.now(UTC),
                "findings": found,
                "counts": {level: counts[level] for level in Level},
            }
        )
    else:
        console = screen()
        console.print(Text(f"Stage {names.stage} in {names.region}\n", "bold"))
        show_findings(console, found)
    if any(finding.level is Level.FAILED for finding in found):
        raise typer.Exit(FAILED)
