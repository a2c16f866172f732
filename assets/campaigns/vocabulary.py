"""The words of campaigns: what sets one off, where it stands, what adopters answer. Pure."""

from __future__ import annotations

import enum


class Trigger(enum.StrEnum):
    """What sets a campaign off."""

    HAND = "hand"
    CALENDAR = "calendar"
    WEATHER = "weather"


class Repeat(enum.StrEnum):
    """How often the calendar sets one off."""

    ONCE = "once"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


class CampaignState(enum.StrEnum):
    """Where a campaign stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class HeldBecause(enum.StrEnum):
    """Why a campaign that should have gone out by itself was stopped for its coordinator."""

    TOO_MANY = "too_many"
    AREA_GONE = "area_gone"
    KIND_GONE = "kind_gone"


class Doubt(enum.StrEnum):
    """What a coordinator is asked to confirm."""

    NOBODY = "nobody"
    TOO_MANY = "too_many"


class Answer(enum.StrEnum):
    """What an adopter says of one asset."""

    CLEAR = "clear"
    NOT_YET = "not_yet"
    HELP = "help"
