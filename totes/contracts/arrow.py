"""Returns the Arrow types of a column, by the table of types."""

import pyarrow as pa

from totes.contracts.declarations import Column, ContractInvalid, origin_of, type_in_use


def arrow_type(column: Column) -> pa.DataType:
    """Returns a column's type in the landing zone and on the way into the warehouse.

    Raises:
        ContractInvalid: the table of types has no such type, or the type's width depends on an origin that is missing.
    """
    row = type_in_use(column)
    if column.origin and row.arrow_of_origin:
        return row.arrow_of_origin(pa, arrow_type(origin_of(column)))
    if row.arrow is None:
        raise ContractInvalid(
            f"Column {column.name} has the type {column.type}.", "Use one of a fixed length, as numeric(10,2)."
        )
    return row.arrow(pa, *row.parameters)


def processed_type(column: Column) -> pa.DataType:
    """Returns a column's type in the processed zone, which every engine can read."""
    row = type_in_use(column)
    return row.processed(pa, *row.parameters) if row.processed else arrow_type(column)
