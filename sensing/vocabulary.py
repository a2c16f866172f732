"""Words of sensing that are stored or sent: where a trip is, what a place is taken for. Pure."""

from __future__ import annotations

from enum import StrEnum


class TripState(StrEnum):
    """Where a trip is on its way."""

    UPLOADING = "uploading"  # some parts of it are there
    RECEIVED = "received"  # checked, its ends cut off, waiting to be analysed
    ANALYSED = "analysed"  # what it felt has been added to what is known
    MARKED = "marked"  # read and understood, and nothing of it is believed
    REFUSED = "refused"  # it could not be read after all


class Verdict(StrEnum):
    """What a place is taken for."""

    ACTIONABLE = "actionable"
    HARMLESS = "harmless"
    UNKNOWN = "unknown"


class KnownAs(StrEnum):
    """What the register knows that phones feel and nobody should mend."""

    SPEED_HUMP = "speed_hump"
    CROSSING = "crossing"
    RAIL = "rail"
    MANHOLE = "manhole"
