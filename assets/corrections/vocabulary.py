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
    OVERTAKEN = "overtaken"  # what the city's file says now answers it


class DecidedBy(enum.StrEnum):
    """Who made it true, or not."""

    STAFF = "staff"
    CONFIRMATIONS = "confirmations"
    PROPOSER = "proposer"
    REGISTER = "register"


class Overtaken(enum.StrEnum):
    """Why nothing is left to decide; the `reason` of a correction that was overtaken."""

    SO_ALREADY = "so_already"
    ASSET_GONE = "asset_gone"
