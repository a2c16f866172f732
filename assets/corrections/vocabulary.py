"""The words of corrections: what can be wrong, where a proposal stands, who decided. Pure."""

from __future__ import annotations

import enum


class What(enum.StrEnum):
    """What of the register is wrong."""

    MISSING = "missing"  # there is one that the register does not know
    GONE = "gone"
    MOVED = "moved"
    ATTRIBUTE = "attribute"


class State(enum.StrEnum):
    """Where a proposal stands."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class DecidedBy(enum.StrEnum):
    """Who made it true, or not."""

    STAFF = "staff"
    CONFIRMATIONS = "confirmations"
    PROPOSER = "proposer"
