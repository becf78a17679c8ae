"""Names the currencies of ISO 4217, from a list in the deployed package: nothing is looked up over the network."""

from collections.abc import Mapping
from functools import cache


@cache
def currency_names() -> Mapping[str, str]:
    """Returns the English names by code, for instance `{"GBP": "Pound Sterling", …}`."""
    # Imported here: the import parses the list, and few runs need it.
    import iso4217

    return {currency.code: currency.currency_name for currency in iso4217.Currency}
