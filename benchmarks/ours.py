"""Runs the shipped handlers in their own process, like a Lambda, and prints each one's measurements as JSON.

python -m benchmarks.ours ingest transform load     runs each once
python -m benchmarks.ours reconcile                 compares every row and value, and fails if any differ
python -m benchmarks.ours --serve                   reads a line of stages, writes a line of JSON: a warm Lambda
python -m benchmarks.ours --spans ingest            runs it once, and splits its time (benchmarks.spans)
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from benchmarks.memory import peak_mb

CONTEXT = SimpleNamespace(
    function_name="bench",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:eu-west-2:123456789012:function:bench",
    aws_request_id="bench",
    get_remaining_time_in_millis=lambda: 300_000,
)
EXECUTION = "arn:aws:states:eu-west-2:123456789012:execution:totes-bench-pipeline"


def main(arguments: list[str]) -> None:
    # Standard output is for the answers; the handlers' log and metrics go to standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if arguments == ["--serve"]:
        for line in sys.stdin:
            answers.write(json.dumps(_measured(line.split())) + "\n")
    elif arguments[:1] == ["--spans"]:
        from benchmarks import spans

        (stage,) = arguments[1:]
        with spans.recorded(stage) as record:
            _work(stage, {"execution": EXECUTION, "input": {}})()
        answers.write(json.dumps(record.rows()) + "\n")
    else:
        answers.write(json.dumps(_measured(arguments)) + "\n")


def _measured(stages: list[str]) -> dict[str, dict[str, Any]]:
    """Runs stages as one execution, so each gets the results of those before it.

    Returns:
        by stage, wall and CPU seconds without imports, the process's peak in MB, and the result.
    """
    found: dict[str, dict[str, Any]] = {}
    event = {"execution": f"{EXECUTION}:{uuid.uuid4()}", "input": {}, "so_far": {}}
    for stage in stages:
        work = _work(stage, event)
        started, cpu = time.perf_counter(), time.process_time()
        result = work()
        found[stage] = {
            "seconds": time.perf_counter() - started,
            "cpu": time.process_time() - cpu,
            "peak_mb": peak_mb(),
            "result": result,
        }
        # As the state machine does: through JSON.
        event["so_far"] = json.loads(json.dumps({name: measured["result"] for name, measured in found.items()}))
    return found


def _work(stage: str, event: dict[str, Any]) -> Callable[[], Any]:
    if stage == "ask":
        from benchmarks.floor import ask

        return ask
    if stage == "reconcile":
        return _reconcile
    handler = import_module(f"functions.{stage}").handler
    return lambda: handler(event, CONTEXT)


def _reconcile() -> str:
    from cli.commands.reconcile import compare
    from cli.render.reconcile import differences_in_words
    from totes.runtime.settings import IngestSettings, LoadSettings, read_settings
    from totes.verify.reconcile.reconcile import comparable

    # Takes the names of buckets and secrets from the stages' settings.
    names: Any = SimpleNamespace(**vars(read_settings(IngestSettings)) | vars(read_settings(LoadSettings)))
    found = compare(names, [*comparable().values()])
    if not found.agrees:
        raise SystemExit(f"the warehouse differs from totesys: {differences_in_words(found.tables)}")
    return "they agree"


if __name__ == "__main__":
    main(sys.argv[1:])
