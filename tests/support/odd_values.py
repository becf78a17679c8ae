"""Lists odd values of each type, as SQL. A new type of totes.contracts.types gets its values here."""

from collections.abc import Mapping, Sequence

TEXTS = ("''", "' '", "'NULL'", r"'\N'", "'infinity'", "E'a\"b,\\n''c'", "E'\\t'", "'Zoë 🧵'", "'0001'")
# By the types that a source's column can have. Types with parameters are examples.
ODD_VALUES: Mapping[str, Sequence[str]] = {
    "smallint": ("-32768", "-1", "0", "32767"),
    "integer": ("-2147483648", "-1", "0", "2147483647"),
    "bigint": (
        "-9223372036854775808",
        "-2147483649",
        "0",
        "2147483648",
        "9007199254740993",
        "9223372036854775807",
    ),
    "boolean": ("true", "false"),
    "double precision": (
        "'NaN'",
        "'Infinity'",
        "'-Infinity'",
        "'-0'",
        "0",
        "0.1",
        "1e15",
        "999999999999999",
        "1234567890123456.8",
        "9007199254740993",
        "1e16",
        "0.0001",
        "0.00001",
        "1.7976931348623157e308",
        "'5e-324'",
        "-2.5",
    ),
    "uuid": (
        "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
        "'{a0eebc999c0b4ef8bb6d6bb9bd380a11}'",
        "'00000000-0000-0000-0000-000000000000'",
        "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
    ),
    "text": TEXTS,
    "varchar": TEXTS,
    "varchar(12)": TEXTS,
    '"Mood"': ("'glad'", "''", "'NULL'"),
    "date": ("'0001-01-01'", "'1582-10-10'", "'1969-12-31'", "'1999-12-31'", "'2024-02-29'", "'9999-12-31'"),
    "timestamp(3)": (
        "'0001-01-01 00:00:00'",
        "'1969-12-31 23:59:59.999'",
        "'2024-03-31 01:30:00.120'",
        "'9999-12-31 23:59:59.999'",
    ),
    "timestamp": (
        "'0001-01-01 00:00:00'",
        "'1969-12-31 23:59:59.999999'",
        "'2000-01-01 00:00:00.000001'",
        "'2024-03-31 01:30:00.1'",
        "'9999-12-31 23:59:59.999999'",
    ),
    # Includes the hour that London's clock skips and the one that it repeats.
    "timestamptz": (
        "'0001-01-01 00:00:00+00'",
        "'1969-12-31 23:59:59.999999+00'",
        "'2024-03-31 00:59:59.999999+00'",
        "'2024-03-31 02:00:00+01'",
        "'2024-10-27 01:30:00+01'",
        "'2024-10-27 01:30:00+00'",
        "'2024-07-01 00:30:00.5+14'",
        "'9999-12-31 23:59:59.999999+00'",
    ),
    "numeric(10,2)": ("-99999999.99", "-0.01", "0", "3.1", "99999999.99"),
    "numeric(38,9)": ("-0.000000001", "0.0000001", "0", "99999999999999999999999999999.999999999"),
}
# Values that neither lake nor warehouse can hold. No row with one may pass.
UNHOLDABLE: Mapping[str, Sequence[str]] = {
    "date": ("'infinity'", "'-infinity'", "'0044-03-15 BC'", "'10000-01-01'"),
    "timestamp(3)": ("'infinity'", "'0044-03-15 00:00 BC'", "'10000-01-01 00:00'"),
    "timestamp": ("'infinity'", "'-infinity'", "'0044-03-15 00:00 BC'", "'10000-01-01 00:00'"),
    "timestamptz": ("'infinity'", "'-infinity'", "'0044-03-15 00:00+00 BC'", "'10000-01-01 00:00+00'"),
    "numeric(10,2)": ("'NaN'",),
}
