from typing import Any

import pytest

from totes.errors import SettingsInvalid
from totes.runtime.settings import (
    IngestSettings,
    LoadSettings,
    ReportSettings,
    TransformSettings,
    WatchSettings,
    read_settings,
)

ENVIRONMENT = {
    "TOTES_LANDING_BUCKET": "landing",
    "TOTES_PROCESSED_BUCKET": "processed",
    "TOTES_SOURCE_SECRET": "totes/dev/source",
    "TOTES_WAREHOUSE_SECRET": "totes/dev/warehouse",
    "TOTES_DOCS": "docs",
    "TOTES_MAIL_INTERVALS": "1h,24h",
    "TOTES_CHAT": "false",
    "TOTES_ALERTS_TOPIC": "topic",
}


@pytest.mark.parametrize(
    "expected",
    [
        IngestSettings("landing", "processed", "totes/dev/source"),
        TransformSettings("landing", "processed"),
        LoadSettings("processed", "totes/dev/warehouse"),
        ReportSettings("landing", "processed", "docs", "1h,24h", "false"),
        WatchSettings("landing", "processed", "docs", "1h,24h", "false", "topic"),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_each_function_reads_its_own_variables(expected: Any) -> None:
    assert read_settings(type(expected), ENVIRONMENT) == expected


def test_all_missing_variables_are_named_at_once() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        read_settings(IngestSettings, ENVIRONMENT | {"TOTES_LANDING_BUCKET": "", "TOTES_SOURCE_SECRET": ""})
    assert str(caught.value) == (
        "The function's environment lacks TOTES_LANDING_BUCKET, TOTES_SOURCE_SECRET. "
        "Set them under `environment` of the function in serverless.yml and deploy."
    )


def test_environment_of_the_process_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert read_settings(TransformSettings) == TransformSettings("landing", "processed")
