"""Words of the uploads of trips that are stored or sent. Pure."""

from __future__ import annotations

from enum import StrEnum


class TripState(StrEnum):
    """Where a trip is on its way."""

    UPLOADING = "uploading"  # some parts of it are there
    RECEIVED = "received"  # checked, its ends cut off, waiting to be analysed
    ANALYSED = "analysed"  # what it felt has been added to what is known
    MARKED = "marked"  # read and understood, and nothing of it is believed
    REFUSED = "refused"  # it could not be read after all


#: States in which a trip stays: nothing more will come of it.
SETTLED = frozenset({TripState.ANALYSED, TripState.MARKED, TripState.REFUSED})
