"""Answers the event `{"doctor": true}` inside a function; docs/adr/0030 says what it may do."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from totes.errors import InputRefused
from totes.runtime.settings import IngestSettings, LoadSettings, TransformSettings, read_settings
from totes.verify.doctor.code import code_digest
from totes.verify.doctor.database import look_at_source, look_at_warehouse
from totes.verify.doctor.findings import Check, Finding, guarded, ok
from totes.verify.doctor.zones import look_at_zone, newest_objects, writing


def examine(function: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a function's findings, and a digest of the code that it runs.

    Raises:
        InputRefused: the event has `doctor` in it, but is not `{"doctor": true}`.
    """
    if event != {"doctor": True}:
        raise InputRefused(
            "The function's event has doctor in it, and something else.",
            'Call it with {"doctor": true} alone, as `totes doctor` does, or leave doctor out.',
        )
    return {"code": code_digest(), "findings": [asdict(finding) for finding in _findings(function)]}


def _findings(function: str) -> Iterator[Finding]:
    checks: list[Check] = []

    def settings() -> Iterator[Finding]:
        checks.extend(_CHECKS[function]())
        yield ok("settings", "The function has all its settings.")

    yield from guarded(settings)
    for check in checks:
        yield from guarded(check)


def _of_ingest() -> list[Check]:
    settings = read_settings(IngestSettings)
    return [
        partial(look_at_source, settings.source_secret),
        partial(look_at_zone, settings.landing_bucket, writing),
        partial(look_at_zone, settings.processed_bucket),
    ]


def _of_transform() -> list[Check]:
    settings = read_settings(TransformSettings)
    return [
        partial(look_at_zone, settings.landing_bucket, newest_objects),
        partial(look_at_zone, settings.processed_bucket, writing),
    ]


def _of_load() -> list[Check]:
    settings = read_settings(LoadSettings)
    return [
        partial(look_at_warehouse, settings.warehouse_secret),
        partial(look_at_zone, settings.processed_bucket, newest_objects),
    ]


_CHECKS: Mapping[str, Callable[[], list[Check]]] = {"ingest": _of_ingest, "transform": _of_transform, "load": _of_load}
EXAMINED = tuple(_CHECKS)
