"""Runs moto's server in its own process, so that its work does not count for the measured process.

python -m benchmarks.aws [SECONDS]      adds SECONDS to each request to S3

It prints its address, and ends when its standard input ends. It serves concurrent requests concurrently.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from local.aws.server import moto_server

# Identifies a request to S3 by the scope of its signature.
_S3 = "/s3/aws4_request"


def main(arguments: list[str]) -> None:
    with moto_server(_later(*map(float, arguments))) as endpoint:
        sys.stdout.write(f"{endpoint}\n")
        sys.stdout.flush()
        sys.stdin.read()


def _later(seconds: float = 0.0) -> Callable[[Any], Any]:
    def front(app: Any) -> Any:
        def served(environ: dict[str, Any], start_response: Any) -> Any:
            if _S3 in environ.get("HTTP_AUTHORIZATION", ""):
                time.sleep(seconds)
            return app(environ, start_response)

        return served

    return front


if __name__ == "__main__":
    main(sys.argv[1:])
