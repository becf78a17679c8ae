"""Settings: the environment variables of each function. No other module of the package reads them.

The field `landing_bucket` is the variable TOTES_LANDING_BUCKET.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

from totes.errors import SettingsInvalid


@dataclass(frozen=True)
class IngestSettings:
    """Of functions/ingest.py."""

    landing_bucket: str
    processed_bucket: str
    source_secret: str


@dataclass(frozen=True)
class BackfillSettings:
    """Of functions/backfill.py."""

    landing_bucket: str
    source_secret: str


@dataclass(frozen=True)
class TransformSettings:
    """Of functions/transform.py."""

    landing_bucket: str
    processed_bucket: str


@dataclass(frozen=True)
class LoadSettings:
    """Of functions/load.py."""

    processed_bucket: str
    warehouse_secret: str


@dataclass(frozen=True)
class ReportSettings:
    """Of functions/report.py.

    Attributes:
        docs: the address or the folder of docs/.
        mail_intervals: the intervals between e-mails about the same failure, for instance `1h,24h`.
        chat: `true` if HTTPS subscribers get the JSON that Amazon Q Developer shows in a chat, else `false`.
    """

    landing_bucket: str
    processed_bucket: str
    docs: str
    mail_intervals: str
    chat: str


@dataclass(frozen=True)
class WatchSettings:
    """Of functions/watch.py."""

    landing_bucket: str
    processed_bucket: str
    docs: str
    mail_intervals: str
    chat: str
    alerts_topic: str


_Settings = TypeVar(
    "_Settings", IngestSettings, BackfillSettings, TransformSettings, LoadSettings, ReportSettings, WatchSettings
)


def variable(field: str) -> str:
    """Returns the environment variable that holds a field."""
    return f"TOTES_{field.upper()}"


def read_settings(kind: type[_Settings], environment: Mapping[str, str] = os.environ) -> _Settings:
    """Reads the settings of one function.

    Raises:
        SettingsInvalid: variables are missing or empty; the error names them all, not just the first.
    """
    values = {field.name: environment.get(variable(field.name), "") for field in fields(kind)}
    if missing := [variable(name) for name, value in values.items() if not value]:
        raise SettingsInvalid(
            f"The function's environment lacks {', '.join(missing)}.",
            "Set them under `environment` of the function in serverless.yml and deploy.",
        )
    return kind(**values)
