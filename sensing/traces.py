"""What the analysis takes and gives: trips, bumps, tracks. Values only, no arithmetic. Pure.

Arrays are numpy's, but this module does not import numpy: who stores or shows bumps need not load
it. Times are seconds since 1970-01-01 UTC, positions WGS 84 degrees, headings degrees clockwise
from north, accelerations m/s² with gravity, in the phone's own axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from geo.measures import Point

if TYPE_CHECKING:
    from sensing.arrays import Series, Vectors


class Detector(StrEnum):
    """What can notice a bump. The first four are of Mednis et al., DCOSS 2011."""

    Z_THRESH = "z_thresh"
    Z_DIFF = "z_diff"
    STDEV_Z = "stdev_z"
    G_ZERO = "g_zero"
    LEARNED = "learned"


class Mark(StrEnum):
    """What is odd about a trip that can be used all the same, or only in part."""

    G_UNITS = "acceleration_was_in_g"
    MILLISECONDS = "times_were_in_milliseconds"
    UNSORTED = "samples_out_of_order"
    DUPLICATES = "duplicate_samples"
    GAPS = "gaps"
    BAD_SAMPLES = "samples_left_out"
    BAD_LINES = "lines_left_out"
    LOW_RATE = "low_rate"
    TELEPORT = "teleporting_gps"
    NO_POSITIONS = "no_positions"
    NO_SPEED = "speed_from_positions"
    STILL = "constant_acceleration"
    TOO_FAST = "too_fast_for_a_car"
    NOT_A_CAR = "not_a_car"
    TOO_SHORT = "nothing_left_between_the_ends"


#: A trip with one of these is stored and answered for, but nothing of it is believed.
NOT_BELIEVED = frozenset(
    {Mark.STILL, Mark.TOO_FAST, Mark.NOT_A_CAR, Mark.NO_POSITIONS, Mark.TOO_SHORT}
)


@dataclass(frozen=True, slots=True)
class Trip:
    """The samples of one trip, checked: `sensing.checking.checked` makes it.

    Attributes:
        t_s: (n,) strictly increasing.
        lat_deg, lon_deg: (n,), NaN where unknown.
        speed_ms: (n,) metres per second, NaN where unknown.
        acceleration: (n, 3) finite, m/s², gravity included.
        gyro: (n, 3) rad/s, or None.
        bearing_deg: (n,) or None.
        accuracy_m: (n,) radius of 68 % of the position, or None.
        marks: what was odd.
    """

    t_s: Series
    lat_deg: Series
    lon_deg: Series
    speed_ms: Series
    acceleration: Vectors
    gyro: Vectors | None = None
    bearing_deg: Series | None = None
    accuracy_m: Series | None = None
    marks: frozenset[Mark] = frozenset()

    @property
    def is_believed(self) -> bool:
        """Whether its bumps and passes may count as evidence."""
        return not self.marks & NOT_BELIEVED


@dataclass(frozen=True, slots=True)
class Bump:
    """One detection.

    Attributes:
        t_s: when the road was felt most.
        point: where the car was then.
        heading_deg: which way it drove; None where that is unknown.
        speed_ms: how fast; None where that is unknown.
        error_m: standard error of the position along one axis.
        severity: 0 to 10; 5 is what a driver remarks on.
        confidence: 0 to 1, calibrated on held-out trips: the share of such detections that a
            person in the car had pressed the button for.
        detectors: which of the detectors fired.
        peak_ms2: largest acceleration, gravity and drift removed.
        width_m: length of road over which it was felt; None at low rates.
        symmetry: -1 (first down: a hole) to 1 (first up: a hump); None at low rates.
    """

    t_s: float
    point: Point
    heading_deg: float | None
    speed_ms: float | None
    error_m: float
    severity: float
    confidence: float
    detectors: frozenset[Detector]
    peak_ms2: float
    width_m: float | None = None
    symmetry: float | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """Where a trip drove fast enough to feel a bump: the places that it passed.

    Attributes:
        t_s, lat_deg, lon_deg, heading_deg, error_m: (m,), in time order, positions a few metres
            apart and never across a gap.
    """

    t_s: Series
    lat_deg: Series
    lon_deg: Series
    heading_deg: Series
    error_m: Series


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one trip tells.

    Attributes:
        bumps: in time order.
        track: the passes, bump or no bump.
        rate_hz: samples per second, the median.
        is_low_rate: below 20 Hz a bump is found less surely, and neither its width nor what it is
            can be told (docs/sensing.md).
        handled_s: seconds left out because the phone was handled.
        marks: what was odd.
    """

    bumps: tuple[Bump, ...]
    track: Track
    rate_hz: float
    is_low_rate: bool
    handled_s: float
    marks: frozenset[Mark]
