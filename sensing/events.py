"""Events of the road felt by phones. Neither says who drove, nor when."""

from __future__ import annotations

from core.outbox import declare

TRIP_RECEIVED = declare("trip.received", "A trip was sent and waits to be analysed.")
ROAD_DEFECTS_CHANGED = declare(
    "road_defect.changed",
    "Places were found to be road defects, changed, or are none any more. Data: defect_ids.",
)
