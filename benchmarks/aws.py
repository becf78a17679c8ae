"""moto's server in a process of its own, so that its work is not on the clock of the process that is measured.

python -m benchmarks.aws [SECONDS]      each request to S3 takes so many seconds longer

It prints its address, and ends when its standard input does. Requests that are sent at once are served at once.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from local.aws.server import moto_server

# What the signature of a request to S3 is for.
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
