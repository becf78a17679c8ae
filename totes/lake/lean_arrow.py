"""Keeps pyarrow from importing pandas, nearly half a second and 30 MB of a cold start, where nobody asks for it.

pyarrow looks once whether there is pandas, when it is first given a list or a number: that might be one of pandas' own.
It finds none then. Where a frame is asked for it looks again.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa


class _Hidden(MetaPathFinder):
    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not looked at yet", name=fullname)
        return None


def look_for_pandas_later() -> None:
    """Has pyarrow look for pandas once, and find none, unless somebody has imported it already."""
    if "pandas" not in sys.modules:
        hidden = _Hidden()
        sys.meta_path.insert(0, hidden)
        try:
            pa.array([])
        finally:
            sys.meta_path.remove(hidden)
