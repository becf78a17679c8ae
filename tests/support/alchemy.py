"""Opens SQLAlchemy over the pipeline's own connections, for tests that write statements with it."""

from functools import partial

import sqlalchemy
from sqlalchemy.pool import NullPool

from totes.postgres.connection import Database, connect
from totes.postgres.driver import PipelineConnection
from totes.runtime.secrets import Credentials


def engine_of(database: Database, credentials: Credentials) -> sqlalchemy.Engine:
    """Returns an engine that opens a connection when asked, and keeps none."""
    opens = partial(connect, database, credentials, "totes-test")
    return sqlalchemy.create_engine("postgresql+pg8000://", creator=opens, poolclass=NullPool)


def own(connection: sqlalchemy.Connection) -> PipelineConnection:
    """Returns the pipeline's connection behind SQLAlchemy's, in the same transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, PipelineConnection)
    return driver
