"""Loads SQL from the .sql files that lie beside the modules which use them."""

from functools import cache
from pathlib import Path

_TOTES = Path(__file__).parent.parent


@cache
def sql(room: str, name: str) -> str:
    """Returns the text of `totes/<room>/sql/<name>.sql`.

    A warm function has read each file before.
    """
    return (_TOTES / room / "sql" / f"{name}.sql").read_text(encoding="utf-8")
