"""The words of cases: where one stands, and what changes it. Pure."""

from __future__ import annotations

import enum


class CaseState(enum.StrEnum):
    """Where a case stands."""

    OPEN = "open"  # somebody has still to mend it
    REPAIRED = "repaired"  # they say that they did; later trips are asked
    CONFIRMED = "confirmed"  # later trips feel nothing
    DISMISSED = "dismissed"  # a person saw it and found nothing to mend


class Fact(enum.StrEnum):
    """What changes a case."""

    RESOLVED = "resolved"
    REJECTED = "rejected"
    REOPENED = "reopened"
    FELT_AGAIN = "felt_again"
    SILENT = "silent"
