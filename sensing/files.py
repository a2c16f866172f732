"""Files of trips, clips and presses, as `shared/data/sensing` has them. For commands and tests."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from sensing import checking, signal
from sensing.arrays import Series
from sensing.reading import OTHER_NAMES
from sensing.traces import Trip
from sensing.training import Clip

#: A file in which nothing was recorded for so long holds two journeys.
JOURNEY_GAP_S = 120.0


class FileError(ValueError):
    """A file that is none of what is asked for."""


def trip(path: Path) -> Trip:
    """A trip of a CSV file (gzip or not), checked.

    Raises:
        FileError: no such columns, or no numbers in them.
        sensing.checking.TripError: no trip can be made of it.
    """
    return checking.checked(columns(path))


def journeys(path: Path) -> list[Trip]:
    """The trips of a file that may hold several phones or days: cut where two minutes are missing.

    Raises:
        FileError, sensing.checking.TripError: nothing of it can be read.
    """
    whole = columns(path)
    t = whole["t"]
    order = np.argsort(t, kind="stable")
    order = order[np.isfinite(t[order])]
    # Milliseconds are told from seconds here as `checking` does, by their size.
    in_s = 1000.0 if len(order) and abs(t[order[len(order) // 2]]) > checking.LATEST_S else 1.0
    cuts = np.flatnonzero(np.diff(t[order]) / in_s > JOURNEY_GAP_S) + 1
    if not len(cuts):
        return [checking.checked(whole)]
    parts = np.split(order, cuts)
    long = [part for part in parts if len(part) >= signal.FEWEST_SAMPLES]
    found, refused = [], None
    for part in long or parts:
        try:
            found.append(checking.checked({name: values[part] for name, values in whole.items()}))
        except checking.TripError as error:
            refused = error
    if not found and refused is not None:
        raise refused
    return found


def columns(path: Path) -> dict[str, Series]:
    """The columns of a CSV file of numbers by name; what is empty or no number is NaN."""
    with _opened(path) as file:
        rows = csv.reader(file)
        header = [name.strip().lower() for name in next(rows, [])]
        names = [OTHER_NAMES.get(name, name) for name in header]
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
