"""Loads SQL from the .sql files beside the modules that use them."""

from functools import cache
from pathlib import Path

_TOTES = Path(__file__).parent.parent


@cache
def sql(room: str, name: str) -> str:
    """Returns the text of `totes/<room>/sql/<name>.sql`, which is read only once."""
    return (_TOTES / room / "sql" / f"{name}.sql").read_text(encoding="utf-8")
