"""moto's server in a process of its own, so that its work is not on the clock of the process that is measured.

It prints its address, and ends when its standard input does.
"""

import sys

from local.aws.server import moto_server


def main() -> None:
    with moto_server() as endpoint:
        sys.stdout.write(f"{endpoint}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
