"""Tables of a run as CSV and Parquet files, whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from oamip_model.errors import InputError
from oamip_model.files import replacing, replacing_table

Record = dict[str, Any]


def columns_of(records: Sequence[Record]) -> list[str]:
    """Names of all fields, in the order in which they first occur.

    Examples
    --------
    >>> columns_of([{"a": 1}, {"b": 2, "a": 3}])
    ['a', 'b']
    """
    return list(dict.fromkeys(name for record in records for name in record))


def write_csv(records: Sequence[Record], path: str | Path) -> None:
    """Write the records as CSV, numbers in full.

    A field that a record lacks, or that is None, is empty.

    Raises
    ------
    InputError
        Where the file cannot be written.
    """
    with replacing_table(path) as file:
        writer = csv.DictWriter(file, columns_of(records), restval="")
        writer.writeheader()
        writer.writerows(records)


def write_parquet(records: Sequence[Record], path: str | Path, kind: Callable[[str, Any], Any] | None = None) -> None:
    """Write the records as Parquet.

    Parameters
    ----------
    records : sequence of dict
        The rows. Whole numbers beside fractions become fractions.
    path : str or Path
        The file.
    kind : callable, optional
        Type of a column by its name and the module pyarrow. Without it pyarrow decides.

    Raises
    ------
    InputError
        Where pyarrow is missing, or the file cannot be written.
    """
    check_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = columns_of(records)
    columns = {name: _in_one_type([record.get(name) for record in records]) for name in names}
    schema = None if kind is None else pa.schema([(name, kind(name, pa)) for name in names])
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary)


def _in_one_type(values: list[Any]) -> list[Any]:
    if any(isinstance(value, float) for value in values):
        return [float(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in values]
    return values


def check_pyarrow() -> None:
    """Raise InputError, saying what to install, where pyarrow is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError("parquet: needs pyarrow: pip install 'oamip_model[parquet]'") from None
