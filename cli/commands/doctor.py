"""`totes doctor`: looks at a whole stage, from outside and from inside its functions."""

from collections import Counter
from datetime import UTC, datetime

import typer
from rich.text import Text

from cli.deployment import target
from cli.errors import FAILED
from cli.render.terminal import AsJson, complaints, say_json, screen


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Look at a whole stage, and say of all that is wrong what to do.

    From outside: the stack, the schedule, the last executions, who gets the alerts, alarms, queues, metrics, secrets
    and buckets. From inside the functions, with their rights: both databases, TLS, clocks, and the lake. Writes
    nothing, and disturbs no execution. What you may not look at is listed as such.

    Exit code: 1 when something failed; warnings alone are 0.
    """
    from cli.doctor.examination import examine
    from cli.render.doctor import show_findings
    from totes.verify.doctor.findings import Level

    names = target(context).connect()
    with complaints().status("looking") as status:
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
