"""A question's SQL: its parameters are found as PostgreSQL would see them, and only SQL that reads is accepted."""

from pathlib import Path

import pytest

from cli.charts.declaration import QuestionInvalid
from cli.statement import Statement, read_statement


def read(sql: str, *declared: str) -> Statement:
    return read_statement(Path("queries/asked.sql"), 5, sql, declared)


def refusal(sql: str, *declared: str) -> str:
    with pytest.raises(QuestionInvalid) as caught:
        read(sql, *declared)
    return caught.value.message


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'a :b c'",
        'SELECT \'{"a":1, "b"::x}\'::jsonb',
        "SELECT 'it''s :b', '\\:b', 'C:\\'",
        "SELECT E'a\\':b' , e'\\\\', ':c'",
        "SELECT $$a :b$$, $do$ $$ :b $do$",
        'SELECT 1 AS "a :b"',
        "SELECT 1 -- not :b",
        "SELECT 1 /* :b /* ; :c */ :d */",
        "SELECT CAST(1 AS int)::text::varchar",
        "SELECT TO_CHAR(now(), 'HH24:MI')",
        "SELECT (ARRAY[1, 2, 3])[1:2]",
        "SELECT a[lo:hi] FROM (SELECT ARRAY[1] AS a, 1 AS lo, 1 AS hi) AS x",
        "SELECT ';' -- ; and",
        "(SELECT 1);",
        "  ; SELECT 1 ; ; -- the end\n",
        "table x",
        "SELECT 100 % 7, '50%'",
        "SELECT x$1 FROM y",
    ],
)
def test_colon_that_is_no_parameters_is_left_alone(sql: str) -> None:
    found = read(sql)
    assert (found.text, found.names) == (sql.removeprefix("  ; "), ())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT :day",
        "SELECT :day::date",
        "SELECT ':other', CAST(:day AS date) -- :more",
        "SELECT /* ' */ :day /* ' */",
        "SELECT 'C:\\', :day",
        "SELECT x FROM y WHERE x<:day AND y>=:day",
        "SELECT a[1:2], :day::int[]",
        'SELECT "it\'s", :day',
        "SELECT $$'$$, :day",
    ],
)
def test_parameter_is_found(sql: str) -> None:
    found = read(sql, "day")
    assert found.names == ("day",) * sql.count(":day")
    for number in range(1, len(found.names) + 1):
        assert found.text.count(f"${number}") == 1
    assert ":day" not in found.text


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1,\n  :foo", "queries/asked.sql:6: :foo has no Parameter paragraph."),
        ("\n\nSELECT :dya, :day", "queries/asked.sql:7: :dya has no Parameter paragraph. Did you mean :day?"),
        ("\nSELECT 1", "queries/asked.sql:6: the SQL does not use the parameter :day."),
        ("SELECT ':day'", "queries/asked.sql:5: the SQL does not use the parameter :day."),
    ],
)
def test_parameters_are_those_of_the_header(sql: str, said: str) -> None:
    assert refusal(sql, "day") == said


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELECT 1;\nSELECT 2;", 6),
        ("SELECT 1; SELECT 2", 5),
        ("SELECT 1;\n-- and\n/* ; */\n\nDELETE FROM x", 9),
        ("SELECT ';';\n)", 6),
    ],
)
def test_second_statement_is_refused(sql: str, line: int) -> None:
    assert refusal(sql) == f"queries/asked.sql:{line}: a second statement starts here. A question is one statement."


@pytest.mark.parametrize("sql", ["", ";", "-- SELECT 1", "/* SELECT 1 */ ;;"])
def test_file_without_sql_is_refused(sql: str) -> None:
    assert refusal(sql) == "queries/asked.sql:5: there is no SQL after the header."


@pytest.mark.parametrize("sql", ["/* SELECT 1", "SELECT 'a", "SELECT $1$", 'SELECT 1 AS "a'])
def test_sql_without_an_end_is_refused(sql: str) -> None:
    assert refusal(sql).startswith("queries/asked.sql:5: the SQL can't be read: ")


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("DELETE FROM x", "DELETE"),
        ("commit", "commit"),
        ("SET x = 1", "SET"),
        ("COPY x TO STDOUT", "COPY"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("SELEC 1", "SELEC"),
        ("DO $$x$$", "DO"),
        ("(", "("),
    ],
)
def test_what_does_not_begin_as_one_that_reads_is_refused(sql: str, first: str) -> None:
    said = f"a question may only read: it must start with SELECT, WITH, VALUES or TABLE, not {first}."
    assert refusal(f"\n{sql}") == f"queries/asked.sql:6: {said}"


def test_servers_position_is_a_line_of_the_file() -> None:
    found = read("\n-- :a :b :c\nSELECT ':a:b:c:d',\n  :day,\n  revnue", "day")
    assert found.line == 7
    assert found.invalid("x", found.text.index("revnue") + 1).message == "queries/asked.sql:9: x"


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELECT a AS name,\n b AS name\nFROM c ORDER BY name", 6),
        ('SELECT a as "name",\n b AS\n names', 5),
        ("SELECT *\nFROM c", 5),
    ],
)
def test_column_is_found_by_its_alias(sql: str, line: int) -> None:
    found = read(sql)
    assert found.invalid("x", found.position_of_column("name")).message == f"queries/asked.sql:{line}: x"
