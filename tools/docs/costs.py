"""Calculates a stage's monthly costs, for docs/deploy.md, from serverless.yml, the state machine and list prices.

The databases are not included: they exist without the pipeline, too.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from local.aws.deployment import ROOT, STATE_MACHINE, Deployment
from local.aws.schedule import parse_rate
from tools.docs.pages import DOCS, with_parts
from totes.contracts.declarations import warehouse_tables

PAGE = DOCS / "deploy.md"
RATES = ("rate(1 minute)", "rate(5 minutes)", "rate(15 minutes)", "rate(1 hour)")
HOURS_A_MONTH = 730
FREE_DASHBOARDS = 3
_MONTH = timedelta(hours=HOURS_A_MONTH)
_LAMBDA_FREE_DISK = 512

# US dollars, without free tiers: the list prices of US East (N. Virginia) in 2025, from the pages
# aws.amazon.com/<service>/pricing. London's prices are the same, or up to a fifth higher for logs and requests.
PRICES_OF = 2025
PRICE = {
    "lambda GB-second, arm64": Decimal("0.0000133334"),
    "lambda request": Decimal("0.0000002"),
    "lambda disk GB-second": Decimal("0.0000000309"),
    "state transition": Decimal("0.000025"),
    "S3 PUT or LIST": Decimal("0.000005"),
    "S3 GET": Decimal("0.0000004"),
    "S3 GB": Decimal("0.023"),
    "secret": Decimal("0.40"),
    "secret read": Decimal("0.000005"),
    "key": Decimal("1.00"),
    "alarm metric": Decimal("0.10"),
    "metric": Decimal("0.30"),
    "dashboard": Decimal("3.00"),
    "log GB": Decimal("0.50"),
    "trace": Decimal("0.000005"),
}


@dataclass(frozen=True)
class Execution:
    """The billed work of one execution.

    Attributes:
        functions: the functions that it calls.
        seconds: each function's assumed run time, including start-up.
        writes: the maximum of S3 PUT and LIST requests; tests/unit/tools/docs/test_costs.py counts them.
        reads: the maximum of S3 GET requests.
    """

    functions: tuple[str, ...]
    seconds: Decimal
    writes: int
    reads: int


QUIET = Execution(("ingest", "load", "watch"), Decimal(2), writes=3, reads=6)
BUSY = Execution(("ingest", "transform", "load", "watch"), Decimal(5), writes=42, reads=30)
# In the real totesys: about 30 orders a weekday, and one payment run.
BUSY_A_MONTH = 22 * 31
# Busy executions happen only in trading hours. Metrics by table are sent, and so billed, only in these hours.
TRADING_HOURS_A_MONTH = 22 * 10
LOG_KILOBYTES_A_CALL = 4
STORED_GB = 1


@dataclass(frozen=True)
class Item:
    """A line of the bill: a number of units at a price."""

    name: str
    units: Decimal
    unit: str
    price: Decimal

    @property
    def dollars(self) -> Decimal:
        return self.units * self.price


def items(rate: str) -> list[Item]:
    """Returns the bill for a month of 730 hours, with executions at a rate such as `rate(5 minutes)`."""
    executions = int(_MONTH / parse_rate(rate))
    busy = min(BUSY_A_MONTH, executions)
    return [
        item
        for kinds in (_functions, _executions, _fixed)
        for item in kinds([(QUIET, executions - busy), (BUSY, busy)])
        if item.units
    ]


def table() -> str:
    """Returns the generated part of docs/deploy.md."""
    rate = Deployment("prod").schedule_rule().expression
    bill = items(rate)
    rows = [
        f"| {item.name} | {_plain(item.units)}{item.unit and ' '}{item.unit} | ${item.price:f} | {item.dollars:.2f} |"
        for item in bill
    ]
    totals = [f"| `{other}` | {sum(item.dollars for item in items(other)):.2f} |" for other in RATES]
    return "\n".join(
        [
            f"At `{rate}`, list prices of {PRICES_OF}, US dollars:\n",
            "| | A month | Each | Dollars |",
            "| --- | ---: | ---: | ---: |",
            *rows,
            f"| **All** | | | **{sum(item.dollars for item in bill):.2f}** |\n",
            "| Rate | Dollars a month |",
            "| --- | ---: |",
            *totals,
            "",
        ]
    )


def files() -> dict[Path, str]:
    """Returns the page with the generated part."""
    return {PAGE: with_parts(PAGE, {"costs": table()})}


_Month = Sequence[tuple[Execution, int]]


def _functions(month: _Month) -> Iterator[Item]:
    deployed = Deployment("prod").functions()
    calls = [(deployed[name], kind.seconds * count) for kind, count in month for name in kind.functions]
    memory = sum((seconds * function["memorySize"] / 1024 for function, seconds in calls), Decimal(0))
    extra = (
        seconds * (function.get("ephemeralStorageSize", _LAMBDA_FREE_DISK) - _LAMBDA_FREE_DISK) / 1024
        for function, seconds in calls
    )
    yield _item("Lambda, time", memory, "GB-seconds", "lambda GB-second, arm64")
    yield _item("Lambda, calls", _calls(month), "", "lambda request")
    yield _item("Lambda, /tmp beyond 512 MB", sum(extra, Decimal(0)), "GB-seconds", "lambda disk GB-second")


def _executions(month: _Month) -> Iterator[Item]:
    transitions = sum(count * _transitions(new="transform" in kind.functions) for kind, count in month)
    yield _item("Step Functions", transitions, "transitions", "state transition")
    yield _item("S3, PUT and LIST", sum(count * kind.writes for kind, count in month), "", "S3 PUT or LIST")
    yield _item("S3, GET", sum(count * kind.reads for kind, count in month), "", "S3 GET")
    # Ingest and Load read one secret each.
    yield _item("Secrets Manager, reads", sum(2 * count for _, count in month), "", "secret read")
    yield _item("CloudWatch, logs", Decimal(_calls(month) * LOG_KILOBYTES_A_CALL) / 10**6, "GB", "log GB")
    yield _item("X-Ray", sum(count for _, count in month), "traces", "trace")


def _fixed(_: _Month) -> Iterator[Item]:
    kinds = Counter(resource["Type"] for resource in Deployment("prod").resources().values())
    yield _item("S3, stored", STORED_GB, "GB", "S3 GB")
    yield _item("Secrets Manager", kinds["AWS::SecretsManager::Secret"], "secrets", "secret")
    yield _item("KMS", kinds["AWS::KMS::Key"], "key", "key")
    yield _item("CloudWatch, metrics in alarms", alarmed_metrics(), "", "alarm metric")
    yield _item("CloudWatch, metrics of our own", metrics_of_every_execution(), "", "metric")
    by_table = Decimal(len(warehouse_tables()) * TRADING_HOURS_A_MONTH) / HOURS_A_MONTH
    yield _item("CloudWatch, metrics by table", by_table, "", "metric")
    paid = max(0, kinds["AWS::CloudWatch::Dashboard"] - FREE_DASHBOARDS)
    yield _item("CloudWatch, dashboards beyond three", paid, "", "dashboard")


def _item(name: str, units: Decimal | int, unit: str, price: str) -> Item:
    return Item(name, Decimal(units), unit, PRICE[price])


def _calls(month: _Month) -> int:
    return sum(count * len(kind.functions) for kind, count in month)


def _transitions(*, new: bool) -> int:
    """Returns the number of state transitions of an execution without failures, in one pass, including the start."""
    definition = json.loads(STATE_MACHINE.read_text(encoding="utf-8"))
    name, count = definition["StartAt"], 1
    while name:
        state = definition["States"][name]
        choices = state.get("Choices", [])
        # A Choice with several rules only matters to an execution that catches up.
        taken = choices[0]["Next"] if new and len(choices) == 1 else state.get("Default")
        name = taken if choices else state.get("Next")
        count += 1
    return count


def metrics_of_every_execution() -> int:
    """Returns how many metrics a busy execution sends, except by table. A failure's metrics cost only in its hour."""
    files = [ROOT / "functions" / f"{function}.py" for function in BUSY.functions]
    # Adds each function's duration (totes.runtime.log).
    return sum(file.read_text(encoding="utf-8").count("add_metric(") + 1 for file in files)


def alarmed_metrics() -> int:
    """Returns how many metrics the alarms watch. Each metric in an expression is billed."""
    resources = Deployment("prod").resources().values()
    alarms = [found["Properties"] for found in resources if found["Type"] == "AWS::CloudWatch::Alarm"]
    return sum(max(1, sum("MetricStat" in query for query in alarm.get("Metrics", ()))) for alarm in alarms)


def _plain(units: Decimal) -> str:
    return f"{units:,.0f}" if units >= 10 or units == int(units) else f"{units:.2f}"
