"""The currencies of ISO 4217, from a list that is part of the deployment: no look-up over the network."""

from collections.abc import Mapping
from functools import cache


@cache
def currency_names() -> Mapping[str, str]:
    """English names by code, for instance `{"GBP": "Pound Sterling", …}`."""
    # Only here: it parses the list when it is imported, and few runs meet a currency.
    import iso4217

    return {currency.code: currency.currency_name for currency in iso4217.Currency}
