"""`make profile`: shows where each stage spends time and memory, for different numbers of changed rows."""

from collections.abc import Iterator

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.orders import STAGES, filled
from benchmarks.processes import once
from local.postgres.databases import SOURCE

COLUMNS = ("", "wall, s", "CPU, s", "peak grows, MB")
# Omits parts below this share of a stage's time.
LEAST = 0.01

Tables = dict[str, list[tuple[str, ...]]]


def profile(bench: Bench) -> Tables:
    """Returns a table for each kind of change, with a row for each stage and each of its larger parts."""
    found: Tables = {}
    with filled(bench) as at:
        cases = {
            f"First load of {bench.rows:,} orders": "SELECT 1",
            "Nothing changed": "SELECT 1",
            "100 orders changed": _change(f"sales_order_id % ({bench.rows} / 100) = 0"),
            f"All {bench.rows:,} orders changed": _change("true"),
        }
        for case, statement in cases.items():
            at.postgres.execute(statement, SOURCE)
            found[case] = []
            for stage in STAGES:
                bench.tell(f"{case}: {stage}")
                _, record = once(at.environment, "--spans", stage)
                found[case] += _rows(stage, record["spans"], record["peak"])
    return found


def write(tables: Tables) -> None:
    """Writes the tables into docs/performance.md."""
    parts = [f"### {case}\n\n{report.markdown(COLUMNS, rows)}" for case, rows in tables.items()]
    report.replace("profile", "\n".join([*parts, report.measured_on("once")]))


def _change(condition: str) -> str:
    return f"UPDATE sales_order SET units_sold = units_sold + 1 WHERE {condition}"


def _rows(stage: str, spans: dict[str, list[float]], peak: float) -> Iterator[tuple[str, ...]]:
    wall, cpu = (sum(span[number] for span in spans.values()) for number in (0, 1))
    yield (f"**{stage}**", f"**{wall:.2f}**", f"**{cpu:.2f}**", f"**{peak:,.0f}** in all")
    for name, span in sorted(spans.items(), key=lambda item: -item[1][0]):
        if span[0] >= LEAST * wall:
            yield (name, f"{span[0]:.2f}", f"{span[1]:.2f}", f"{span[2]:,.0f}")
