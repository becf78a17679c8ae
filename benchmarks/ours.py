"""The shipped handlers in one process, stage after stage; prints what each took as JSON.

python -m benchmarks.ours ingest transform load
"""

import json
import resource
import sys
import time
from importlib import import_module
from types import SimpleNamespace

CONTEXT = SimpleNamespace(
    function_name="bench",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:eu-west-2:123456789012:function:bench",
    aws_request_id="bench",
    get_remaining_time_in_millis=lambda: 300_000,
)
EXECUTION = "arn:aws:states:eu-west-2:123456789012:execution:totes-bench-pipeline:bench"


def main() -> None:
    begun = time.monotonic()
    times = {}
    for stage in sys.argv[1:]:
        started, cpu = time.monotonic(), time.process_time()
        import_module(f"functions.{stage}").handler({"execution": EXECUTION, "input": {}}, CONTEXT)
        times[stage] = {
            "seconds": round(time.monotonic() - started, 3),
            "cpu": round(time.process_time() - cpu, 3),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
    print(json.dumps({"total": round(time.monotonic() - begun, 3)} | times), file=sys.stderr)


if __name__ == "__main__":
    main()
