"""Commands whose --help shows a flag without a type.

Typer writes `<bool>` beside each flag, as if it took a value.
"""

from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


def _without_types(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_bool_flag:
            parameter.metavar = ""
    return parameters


class Command(TyperCommand):
    """One command of `totes`."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """The command `totes` itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))
