"""Files of trips, clips and presses, as `shared/data/sensing` has them. For commands and tests."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from sensing import checking
from sensing.arrays import Series
from sensing.traces import Trip
from sensing.training import Clip


class FileError(ValueError):
    """A file that is none of what is asked for."""


#: Columns of other people's files, as ours are called.
_NAMES = {
    "time": "t",
    "timestamp": "t",
    "latitude": "lat",
    "longitude": "lon",
    "lng": "lon",
    "speed": "speed_ms",
    "accelx": "ax",
    "accely": "ay",
    "accelz": "az",
    "bearing": "bearing_deg",
    "gpsaccuracy": "accuracy_m",
    "accuracy": "accuracy_m",
}


def trip(path: Path) -> Trip:
    """A trip of a CSV file (gzip or not), checked.

    Raises:
        FileError: no such columns, or no numbers in them.
        sensing.checking.TripError: no trip can be made of it.
    """
    return checking.checked(columns(path))


def columns(path: Path) -> dict[str, Series]:
    """The columns of a CSV file of numbers by name; what is empty or no number is NaN."""
    with _opened(path) as file:
        rows = csv.reader(file)
        header = [name.strip().lower() for name in next(rows, [])]
        names = [_NAMES.get(name, name) for name in header]
        if "t" not in names:
            raise FileError(f"{path.name}: no column t")
        table = [[_number(cell) for cell in row[: len(names)]] for row in rows if row]
    width = len(names)
    values = np.array([row + [np.nan] * (width - len(row)) for row in table], dtype=float)
    values = values.reshape(-1, width)
    return {name: values[:, place] for place, name in enumerate(names)}


def presses(path: Path) -> Series:
    """Times at which somebody pressed the button: a CSV file with the column `t`."""
    return np.sort(columns(path)["t"])


def clips(path: Path, *, with_labels: bool = True) -> list[Clip]:
    """The clips of a CSV file `label,series_id,n,acc_z…`, values separated by spaces.

    Without labels that column is not read, and need not be there.
    """
    found = []
    with _opened(path) as file:
        rows = csv.reader(file)
        header = [name.strip().lower() for name in next(rows, [])]
        values = next((place for place, name in enumerate(header) if name.startswith("acc")), None)
        if values is None or "series_id" not in header:
            raise FileError(f"{path.name}: no column series_id, or none with accelerations")
        named = header.index("series_id")
        labelled = header.index("label") if with_labels and "label" in header else None
        if with_labels and labelled is None:
            raise FileError(f"{path.name}: no column label")
        for row in rows:
            if len(row) <= max(values, named):
                continue
            numbers = np.array([_number(cell) for cell in row[values].split()])
            numbers = numbers[np.isfinite(numbers)]
            label = None if labelled is None else row[labelled]
            found.append(Clip(row[named], numbers, label))
    if not found:
        raise FileError(f"{path.name}: no clips")
    return found


def _opened(path: Path) -> io.TextIOBase:
    raw = path.read_bytes()
    try:
        text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        return io.StringIO(text.decode("utf-8-sig"), newline="")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise FileError(f"{path.name}: no CSV text ({error})") from error


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
