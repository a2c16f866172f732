"""Columns of numpy as parameters: arrays of PostgreSQL, in its binary format.

A trip adds some thousand rows of twenty numbers. Through the driver's lists each number is an
object of Python first; here a column is one piece of memory.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from psycopg.abc import Buffer, PyFormat
from psycopg.adapt import Dumper
from psycopg.pq import Format

Column = NDArray[Any]

#: By numpy's type: the type of an element and of an array of them (PostgreSQL, pg_type), and how an
#: element is sent. The smallest integer that PostgreSQL has is of two bytes.
_TYPES = {
    np.int8: (21, 1005, ">i2"),
    np.int16: (21, 1005, ">i2"),
    np.int32: (23, 1007, ">i4"),
    np.int64: (20, 1016, ">i8"),
    np.float64: (701, 1022, ">f8"),
}

#: array_send in PostgreSQL's source: dimensions, whether one is NULL, type of an element; then of
#: each dimension its length and its first index.
_HEAD = struct.Struct(">iiIii")


def register(connection: sa.Connection) -> None:
    """Let this connection take columns as parameters."""
    driver: Any = connection.connection.driver_connection
    driver.adapters.register_dumper(np.ndarray, _ColumnDumper)


class _ColumnDumper(Dumper):
    """A column of integers or floats as the array of the same width."""

    format = Format.BINARY

    def get_key(self, obj: Column, _format: PyFormat) -> tuple[type, type]:
        return (self.cls, obj.dtype.type)

    def upgrade(self, obj: Column, _format: PyFormat) -> _ColumnDumper:
        made = type(self)(self.cls)
        made.oid = _TYPES[obj.dtype.type][1]
        return made

    def dump(self, obj: Column) -> Buffer:
        element, _, sent = _TYPES[obj.dtype.type]
        body = np.empty(len(obj), dtype=[("length", ">i4"), ("value", sent)])
        body["length"], body["value"] = np.dtype(sent).itemsize, obj
        return _HEAD.pack(1, 0, element, len(obj), 1) + body.tobytes()
