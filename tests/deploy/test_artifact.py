"""The uploaded package fits, starts quickly, and has only what the functions import."""

import re
import subprocess
import zipfile

import pytest

from resources.package import FUNCTION, LAYER, PackageTooBig, report, unzipped
from tests.deploy import layer
from tests.deploy.layer import Runtime
from tests.deploy.stage import Stage
from tests.deploy.summary import MEASURED
from tests.deploy.uploaded_functions import UploadedFunctions, cold_start
from totes.postgres.tls import RDS_ROOTS

needs_the_runtimes_python = pytest.mark.skipif(
    layer.python_of_the_runtime() is None,
    reason="no Python 3.13 here (TOTES_PYTHON or python3.13): the layer is built without bytecode",
)
needs_a_twin = pytest.mark.skipif(
    not layer.runs_here(),
    reason="no Python 3.13 on Linux here: the slim layer cannot be run, the functions ran without it",
)
# Counts the layer's bytecode that the runtime accepts: checked by hash, of the runtime's version, for this source.
VALID_BYTECODE = """
import importlib.util as util, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
names = set(archive.namelist())
sources = [name for name in names if name.endswith(".py")]
valid = 0
for source in sources:
    compiled = util.cache_from_source(source)
    if compiled in names:
        code, text = archive.read(compiled), archive.read(source)
        valid += code[:4] == util.MAGIC_NUMBER and code[4] == 3 and code[8:16] == util.source_hash(text)
print(len(sources), valid)
"""
COLD_STARTS = 3


def test_layer_and_function_leave_room(stage: Stage) -> None:
    MEASURED.append(report(unzipped(stage.packed / LAYER.name), unzipped(stage.packed / FUNCTION.name)))


def test_roots_of_rds_are_deployed_with_the_code(stage: Stage) -> None:
    with zipfile.ZipFile(stage.packed / FUNCTION.name) as archive:
        assert archive.read("totes/postgres/rds-roots.pem") == RDS_ROOTS.read_bytes()


def test_package_over_the_limit_is_refused() -> None:
    assert report(224_900_000, 100_000).startswith("Unzipped: layer 224.9 MB, function 0.1 MB")
    with pytest.raises(PackageTooBig, match=r"1\.1 MB too large together"):
        report(226_000_000, 100_000)


def test_layers_libraries_are_for_the_processor_of_the_functions(stage: Stage) -> None:
    processor = {"arm64": 0xB7, "x86_64": 0x3E}[stage.function("load")["Architectures"][0]]
    with zipfile.ZipFile(stage.packed / LAYER.name) as archive:
        libraries = [name for name in archive.namelist() if re.search(r"\.so(\.\d+)*$", name)]
        machines = {name: int.from_bytes(archive.read(name)[18:20], "little") for name in libraries}
    assert len(machines) > 20
    assert {name for name, machine in machines.items() if machine != processor} == set()


@needs_the_runtimes_python
def test_layers_bytecode_is_valid_in_the_runtime(stage: Stage) -> None:
    python = layer.python_of_the_runtime()
    assert python is not None
    ran = subprocess.run(
        [python, "-c", VALID_BYTECODE, stage.packed / LAYER.name], capture_output=True, text=True, check=True
    )
    sources, valid = map(int, ran.stdout.split())
    assert valid == sources > 900


# A stage imports these when there is something to do.
LATER = {
    "ingest": ["totes.source.table_reader"],
    "transform": ["totes.warehouse.batch_shaper"],
    "load": ["totes.warehouse.batch_loader", "totes.warehouse.migration"],
}


@needs_a_twin
@pytest.mark.parametrize(
    ("name", "does_without"),
    [("ingest", set()), ("transform", {"pg8000", "boto3"}), ("load", set())],
)
def test_handler_imports_what_it_uses_from_the_slim_layer(
    stage: Stage, runtime: Runtime, functions: UploadedFunctions, name: str, does_without: set[str]
) -> None:
    deployed = stage.client("lambda").get_function(FunctionName=stage.names.function(name))
    task, handler = functions.unpacked(deployed), deployed["Configuration"]["Handler"]
    starts = [cold_start(runtime.python, runtime.packages, task, handler) for _ in range(COLD_STARTS)]

    assert not starts[0].modules & (does_without | {"pandas", "sqlalchemy", "pyarrow"})
    for module in LATER[name]:
        cold_start(runtime.python, runtime.packages, task, f"{module}.handler")
    MEASURED.append(f"Cold start of {name}: {min(start.seconds for start in starts):.2f} s of imports.")
