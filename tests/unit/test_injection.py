"""Canaries: each fault is injected into requests and statements that bypass boto3 and SQLAlchemy."""

import http.client
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from typing import Any

import boto3
import pg8000.dbapi
import pytest

from local.postgres.server import SOCKET_NAME, SUPERUSER, Postgres
from tests.support.injection import (
    COMMIT,
    Countdown,
    Killed,
    at_key,
    at_put,
    at_statement,
    die,
    dying_at_put,
    dying_at_row,
    dying_at_statement,
    losing_acknowledgement,
    put_answer_lost,
    puts,
    s3_answers,
    statements,
)
from tests.support.processes import process
from tests.support.s3_wire import OF_THE_TEST, Exchange, Trace, traced
from tests.support.served_aws import served_aws
from totes.postgres.driver import PipelineConnection

# The local server reads no more of a signature than this.
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=testing/20261130/us-east-1/s3/aws4_request, Signature=0"}
IF_NEW = {"If-None-Match": "*"}
UTC = {"TimeZone": "UTC"}
BEGIN = "begin transaction; SET LOCAL TimeZone = 'UTC'; SHOW TimeZone"
TWO_ROWS = "COPY (SELECT generate_series(1, 2)) TO STDOUT"


@pytest.fixture
def aws() -> Iterator[None]:
    with served_aws():
        assert send("PUT", "/lake") == 200
        yield


def send(method: str, path: str, **headers: str) -> int:
    """Sends a request without a client's events and retries; returns the answer's status."""
    with closing(http.client.HTTPConnection(os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"))) as connection:
        connection.request(method, path, headers=SIGNED | headers)
        return connection.getresponse().status


def dies(work: Callable[[], object]) -> None:
    """Runs a handler, which must die."""
    with pytest.raises(Killed), process():
        work()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[pg8000.dbapi.Connection]:
    """Yields a connection of the pipeline's class, to a table t of one column."""
    with closing(connect(postgres)) as connection:
        run(connection, "CREATE TABLE IF NOT EXISTS t (a integer)")
        connection.commit()
        yield connection
    with closing(postgres.connect(SUPERUSER)) as owner:
        run(owner, "DROP TABLE t")
        owner.commit()


def connect(postgres: Postgres) -> pg8000.dbapi.Connection:
    path = f"{postgres.host}/{SOCKET_NAME}"
    return PipelineConnection(
        UTC, UTC, lambda _: None, user=SUPERUSER, unix_sock=path, ssl_context=False, database=SUPERUSER
    )


def run(connection: pg8000.dbapi.Connection, statement: str, *values: object, **stream: object) -> None:
    connection.cursor().execute(statement, values, **stream)


def rows(postgres: Postgres) -> list[list[Any]]:
    with closing(postgres.connect(SUPERUSER)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT a FROM t ORDER BY a")
        return list(cursor.fetchall())


def test_handler_dies_at_the_put_and_sends_nothing_after_it(aws: None) -> None:
    answers = []
    with dying_at_put(2) as countdown:
        with suppress(Killed), process():
            answers += [send("PUT", f"/lake/{number}") for number in (1, 2, 3)]
            answers.append(send("HEAD", "/lake/1"))
        answers.append(send("PUT", "/lake/4"))
    assert countdown.left == 0
    assert answers == [200, 403, 403, 403, 200]
    assert [send("HEAD", f"/lake/{number}") for number in (1, 2, 3, 4)] == [200, 404, 404, 200]


def test_handler_ends_with_its_death_whatever_it_makes_of_it(aws: None) -> None:
    with dying_at_put(1):
        dies(lambda: send("PUT", "/lake/1"))
    with dying_at_put(1):
        dies(lambda: {200: "done"}[send("PUT", "/lake/1")])


def test_handler_dies_if_a_thread_of_it_puts(aws: None) -> None:
    answers: list[int] = []

    def put() -> None:
        with ThreadPoolExecutor(4) as threads:
            answers.extend(threads.map(lambda number: send("PUT", f"/lake/{number}"), range(9)))

    with dying_at_put(2):
        dies(put)
    assert 200 in answers
    assert answers.count(403) >= 5


def test_dead_handler_commits_nothing(aws: None, database: pg8000.dbapi.Connection, postgres: Postgres) -> None:
    def insert() -> None:
        run(database, "INSERT INTO t VALUES (1)")
        send("PUT", "/lake/1")
        database.commit()

    with dying_at_put(1):
        dies(insert)
    database.rollback()
    assert rows(postgres) == []


def test_handler_that_died_at_a_statement_puts_nothing(aws: None, database: pg8000.dbapi.Connection) -> None:
    answers = []

    def select() -> None:
        try:
            run(database, "SELECT 1")
        finally:
            answers.append(send("PUT", "/lake/1"))

    with at_statement("SELECT", die):
        dies(select)
    assert answers == [403]


def test_action_may_send_requests_itself(aws: None) -> None:
    answers: list[int] = []

    def other_execution() -> None:
        with process():
            answers.append(send("PUT", "/lake/1", **IF_NEW))

    with at_key("lake/1", other_execution) as seen, process():
        answers.append(send("PUT", "/lake/1", **IF_NEW))
    assert answers == [200, 412]
    assert seen == ["/lake/1", "/lake/1"]


def test_error_of_an_action_ends_the_handler(aws: None) -> None:
    with pytest.raises(ZeroDivisionError), at_put(1, lambda: 1 / 0), process():
        send("PUT", "/lake/1")
    with pytest.raises(AssertionError, match="should end a handler"), at_put(1, lambda: 1 / 0):
        send("PUT", "/lake/1")


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("PutObject", "PUT", "/lake/1"),
        ("GetObject", "GET", "/lake/1"),
        ("HeadObject", "HEAD", "/lake/1"),
        ("ListObjectsV2", "GET", "/lake?list-type=2&prefix=log/"),
    ],
)
def test_s3_answers_as_often_as_told(aws: None, operation: str, method: str, path: str) -> None:
    send("PUT", "/lake/1")
    with s3_answers(503, "SlowDown", operation, times=2) as answers:
        assert [send(method, path) for _ in range(3)] == [503, 503, 200]
    assert answers.left == 0


def test_put_is_carried_out_and_its_answer_lost(aws: None) -> None:
    with put_answer_lost("lake/1") as statuses:
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            send("PUT", "/lake/1", **IF_NEW)
        assert send("PUT", "/lake/1", **IF_NEW) == 412
    assert statuses == [200, 412]


def test_test_itself_and_other_services_are_not_heard(aws: None) -> None:
    with puts("") as seen:
        boto3.client("s3", config=OF_THE_TEST).put_object(Bucket="lake", Key="1", Body=b"")
        boto3.client("sns").create_topic(Name="alerts")
        assert seen == []
        boto3.client("s3").put_object(Bucket="lake", Key="2", Body=b"")
    assert seen == ["/lake/2"]


def test_statements_copies_and_commits_are_heard(database: pg8000.dbapi.Connection) -> None:
    with statements("") as seen:
        run(database, "INSERT INTO t VALUES (%s)", 1)
        run(database, "COPY t FROM STDIN", stream=[b"2\n"])
        database.commit()
        run(database, "SELECT 1")
        database.rollback()
    assert seen == [
        BEGIN,
        "INSERT INTO t VALUES ($1)",
        "COPY t FROM STDIN",
        COMMIT,
        BEGIN,
        "SELECT 1",
    ]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_handler_dies_at_a_statement(database: pg8000.dbapi.Connection, postgres: Postgres, number: int) -> None:
    def insert() -> None:
        run(database, "INSERT INTO t VALUES (1)")
        database.commit()

    with dying_at_statement(number) as countdown:
        dies(insert)
    assert countdown.left == 0
    database.rollback()
    assert rows(postgres) == []


def test_connection_is_lost_between_commit_and_answer(postgres: Postgres, database: pg8000.dbapi.Connection) -> None:
    connection = connect(postgres)
    with losing_acknowledgement(after="INSERT") as lost:
        run(connection, "INSERT INTO t VALUES (1)")
        with pytest.raises(pg8000.dbapi.InterfaceError):
            connection.commit()
    with suppress(pg8000.dbapi.InterfaceError):
        connection.close()
    assert lost == ["INSERT INTO t VALUES (1)", COMMIT]
    assert rows(postgres) == [[1]]


def test_handler_dies_at_a_row(postgres: Postgres) -> None:
    # The connection is given up in the middle of an answer.
    with dying_at_row(2):
        connection = connect(postgres)
        dies(lambda: run(connection, TWO_ROWS, stream=io.BytesIO()))


MISSES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "dying at a PUT": lambda: dying_at_put(2),
    "at a PUT": lambda: at_put(2, lambda: None),
    "at a key": lambda: at_key("other", lambda: None),
    "dying at a statement": lambda: dying_at_statement(3),
    "at a statement": lambda: at_statement("SELECT 2", lambda: None),
    "at its second time": lambda: at_statement("SELECT", Countdown(2, lambda: None), times=2),
    "dying at a row": lambda: dying_at_row(1),
    "S3 answers": lambda: s3_answers(503, "SlowDown", "GetObject"),
    "answer of another PUT lost": lambda: put_answer_lost("other"),
    "answer of no second PUT lost": lambda: put_answer_lost("lake", 2),
    "no acknowledgement lost": lambda: losing_acknowledgement(after="SELECT"),
}


@pytest.mark.parametrize("missing", MISSES.values(), ids=MISSES)
def test_moment_that_does_not_come_fails_the_test(
    aws: None, database: pg8000.dbapi.Connection, missing: Callable[[], AbstractContextManager[object]]
) -> None:
    def work() -> None:
        assert send("PUT", "/lake/1") == 200
        run(database, "SELECT 1")

    with pytest.raises(AssertionError, match="Nothing was injected"), missing():
        work()
    with pytest.raises(AssertionError, match="Nothing was injected, and then: division"), missing():
        raise ZeroDivisionError("division")


def test_test_may_say_that_the_moment_need_not_come(aws: None) -> None:
    with dying_at_put(1, may_miss=True) as countdown, dying_at_statement(1, may_miss=True):
        pass
    assert countdown.left == 1


def exchanges(*spans: tuple[float, float]) -> Trace:
    return Trace([Exchange(start, end, "GET", "/lake/1") for start, end in spans])


@pytest.mark.parametrize(
    ("spans", "depth"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (1, 2), (2, 3)], 3),
        ([(0, 3), (1, 4), (2, 5)], 1),
        ([(0, 9), (1, 2), (3, 4), (5, 6)], 3),
        ([(5, 6), (0, 2), (1, 4), (3, 5)], 3),
        ([(0, 2), (1, 3), (2, 4), (3, 5)], 2),
    ],
    ids=["none", "one", "in a row", "at once", "beside a long one", "in another order", "two lanes"],
)
def test_depth_is_the_longest_chain_without_overlap(spans: list[tuple[float, float]], depth: int) -> None:
    assert exchanges(*spans).depth == depth


def test_requests_sent_at_once_are_one_step(aws: None) -> None:
    with traced() as trace:
        send("PUT", "/lake/1")
        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(lambda number: send("PUT", f"/lake/data/{number}"), range(3))) == [200] * 3
        send("GET", "/lake/1")
    assert [(sent.method, sent.path) for sent in trace.exchanges][::4] == [("PUT", "/lake/1"), ("GET", "/lake/1")]
    assert (len(trace.exchanges), trace.depth) == (5, 3)
