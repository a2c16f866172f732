"""A trip as a Parquet file, compressed, and back again.

It holds no time of day, no device and no end of the trip (`sensing.trimming` went before). Arrow is
loaded when a trip is written or read.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from sensing.reading import MOST_ROWS
from sensing.traces import Mark, Trip

if TYPE_CHECKING:
    from sensing.arrays import Series

MEDIA_TYPE = "application/vnd.apache.parquet"

#: Where the samples of trips wait, and where traces for research stay.
WAITING, RESEARCH, PARTS = "trips", "traces", "parts"

_AXES = (("ax", "ay", "az"), ("gx", "gy", "gz"))
_MARKS = b"riverain.marks"


class BrokenTraceError(ValueError):
    """The file holds no trip, though it was written as one."""


def key_of(folder: str, name: str) -> str:
    """Where a file lies. Nobody can guess the name."""
    return f"{folder}/{name[:2]}/{name}"


def written(trip: Trip) -> bytes:
    """The trip as Parquet: times and places in double, what is felt in single precision."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, Any] = {"t": trip.t_s, "lat": trip.lat_deg, "lon": trip.lon_deg}
    columns["speed_ms"] = trip.speed_ms.astype(np.float32)
    for names, values in zip(_AXES, (trip.acceleration, trip.gyro), strict=True):
        if values is not None:
            for place, name in enumerate(names):
                columns[name] = np.ascontiguousarray(values[:, place], dtype=np.float32)
    for name, optional in (("bearing_deg", trip.bearing_deg), ("accuracy_m", trip.accuracy_m)):
        if optional is not None:
            columns[name] = optional.astype(np.float32)
    table = pa.table(columns)
    marks = ",".join(sorted(trip.marks)).encode()
    sink = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({_MARKS: marks}), sink, compression="zstd")
    return sink.getvalue()


def read(content: bytes) -> Trip:
    """The trip of a file that `written` made.

    Raises:
        BrokenTraceError: it did not, or somebody changed it since.
    """
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > MOST_ROWS:
            raise BrokenTraceError("too many samples")
        table = file.read(use_threads=False)
        metadata = table.schema.metadata or {}
        marks = frozenset(Mark(mark) for mark in metadata[_MARKS].decode().split(",") if mark)

        def column(name: str) -> Series:
            found: Series = table.column(name).to_numpy().astype(np.float64)
            return found

        def optional(name: str) -> Series | None:
            return column(name) if name in table.column_names else None

        accelerations, gyros = (
            [column(name) for name in names if name in table.column_names] for names in _AXES
        )
        trip = Trip(
            t_s=column("t"),
            lat_deg=column("lat"),
            lon_deg=column("lon"),
            speed_ms=column("speed_ms"),
            acceleration=np.stack(accelerations, 1),
            gyro=np.stack(gyros, 1) if gyros else None,
            bearing_deg=optional("bearing_deg"),
            accuracy_m=optional("accuracy_m"),
            marks=marks,
        )
    except (pa.ArrowException, OSError, KeyError, ValueError, MemoryError) as error:
        raise BrokenTraceError(type(error).__name__) from error
    if trip.acceleration.shape != (len(trip.t_s), 3) or not (np.diff(trip.t_s) > 0).all():
        raise BrokenTraceError("samples out of order")
    return trip
