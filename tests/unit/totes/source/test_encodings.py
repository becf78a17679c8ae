from collections.abc import Iterator
from contextlib import contextmanager

import pg8000.dbapi
import pytest

from local.postgres.databases import READER
from tests.support.pipeline import Pipeline
from totes.contracts.declarations import source_tables
from totes.errors import ContractViolation
from totes.postgres.connection import TOTESYS, connected
from totes.source.encodings import named_in_source

SAID = {"C": "22P05", "M": "character 0xc5 has no equivalent"}


@contextmanager
def source(pipeline: Pipeline) -> Iterator[None]:
    with (
        connected(TOTESYS, pipeline.credentials(pipeline.source, READER), "totes-test") as connection,
        named_in_source(connection, source_tables()["staff"], "true"),
    ):
        yield


def test_server_that_runs_no_code_of_ours_names_the_table(seeded: Pipeline) -> None:
    seeded.totesys("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
    expected = r"text in staff that can't .*: character 0xc5 has no equivalent; SQLSTATE"
    with pytest.raises(ContractViolation, match=expected), source(seeded):
        raise pg8000.dbapi.DatabaseError(SAID)


def test_other_errors_pass(pipeline: Pipeline) -> None:
    with pytest.raises(Exception, match="division by zero"), source(pipeline):
        raise pg8000.dbapi.DatabaseError({"C": "22012", "M": "division by zero"})
