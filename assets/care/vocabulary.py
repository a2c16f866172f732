"""The words of care: where the call of a passer-by stands. Pure."""

from __future__ import annotations

import enum


class CallState(enum.StrEnum):
    """What became of somebody's word that an asset needs care."""

    OPEN = "open"
    CARED = "cared"
    FALSE_ALARM = "false_alarm"
