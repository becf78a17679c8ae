"""The settings that each transaction sets and reads back, and why.

A role, a database or a server can preset settings, and a pooler can silently drop ours. docs/adr/0013 lists the
settings that we leave alone.
"""

from collections.abc import Mapping

from totes.errors import DatabaseFailed

STATEMENT_SECONDS = 240
LOCK_SECONDS = 20

# The settings that any client may set, and that change how PostgreSQL prints, reads or hides values. Each value is
# written as PostgreSQL writes it, so that it can be compared.
VALUES = {
    # Printed.
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    # If it were on, it would quote type names, too, and check_catalogue compares those.
    "quote_all_identifiers": "off",
    # Read: the statements, and the values in them.
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "xmloption": "content",
    "search_path": "public",
    # Hidden: PostgreSQL raises an error instead of hiding rows, and a GIN index returns all matching rows.
    "row_security": "off",
    "gin_fuzzy_search_limit": "0",
}

# The settings that only a superuser may set. Their other values hide damaged rows, or leave foreign keys unchecked.
SUPERUSERS = {
    "zero_damaged_pages": "off",
    "ignore_checksum_failure": "off",
    "session_replication_role": "origin",
}

# A client that vanishes must not keep its locks, and no statement may wait too long for one.
LIMITS = {
    # After Load has got its lock it reads again, and must see rows that were committed meanwhile.
    "transaction_isolation": "read committed",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
}

SESSION = VALUES | LIMITS
READ_BACK = VALUES | SUPERUSERS

_DROPPED = (
    "A pooler, a proxy or the server drops or changes what a transaction sets. Name the server itself in the secret, "
    "or a pooler that passes SET LOCAL on and keeps a transaction on one connection."
)
_RESET = "Have a superuser RESET it for the role, for the database and for the server."


def check_settings(database: str, found: Mapping[str, str]) -> None:
    """Compares a transaction's settings with those that it needs.

    Args:
        found: the values of the settings that the server knows, as the server writes them.

    Raises:
        DatabaseFailed: a setting has another value.
    """
    wrong = [name for name, value in found.items() if value != READ_BACK[name]]
    if not wrong:
        return
    texts = [f"{name} is '{found[name]}' instead of '{READ_BACK[name]}'" for name in wrong]
    raise DatabaseFailed(
        f"A transaction on {database} does not have the settings that it needs: {', '.join(texts)}.",
        _RESET if set(wrong) <= set(SUPERUSERS) else _DROPPED,
    )
