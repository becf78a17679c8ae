import json
from typing import Any

import pytest

from local.aws.deployment import ROOT
from local.aws.template import compile_templates
from tests.unit.infrastructure.template import LOGINS

STAGES = ("dev", "prod")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Returns the templates that osls makes of serverless.yml, by stage, with all optional parts."""
    if not (ROOT / "node_modules" / "osls").exists():
        pytest.skip("needs Node and its packages: run npm ci")
    folder = tmp_path_factory.mktemp("templates")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LOGINS.items():
            patch.setenv(name, value)
        compile_templates(folder, STAGES)
    return {stage: json.loads((folder / f"{stage}.json").read_text(encoding="utf-8")) for stage in STAGES}
