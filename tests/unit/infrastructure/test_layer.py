"""resources/layer.js: how the layer is compressed."""

import json
import subprocess
from pathlib import Path

import pytest

from local.aws.deployment import ROOT

pytestmark = pytest.mark.skipif(
    not (ROOT / "node_modules" / "jszip").exists(), reason="needs Node and its packages: run npm ci"
)
ZIPPED = """
const { readFileSync } = require("node:fs");
const file = process.argv[2];
if (process.argv[1] === "repaired") require("./resources/layer.js");
const JSZip = require("jszip");
const { writeZip } = require("serverless-python-requirements/lib/zipTree");

const levels = [];
const generate = Object.getPrototypeOf(new JSZip()).generateInternalStream;
Object.getPrototypeOf(new JSZip()).generateInternalStream = function (options) {
  levels.push([options.compression, options.compressionOptions.level]);
  return generate.call(this, options);
};
const zip = new JSZip().file("a", "b".repeat(1000));
writeZip(zip, file).then(() => console.log(JSON.stringify([levels, readFileSync(file).length < 1000])));
"""


@pytest.mark.parametrize(("repair", "level"), [("plugin", 9), ("repaired", 6)])
def test_only_with_the_repair_the_layer_is_zipped_quickly(tmp_path: Path, repair: str, level: int) -> None:
    command = ["node", "-e", ZIPPED, repair, str(tmp_path / "layer.zip")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == [[["DEFLATE", level]], True]
