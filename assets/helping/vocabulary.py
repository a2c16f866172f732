"""The words of helping: what an adopter answers, where a request for help stands. Pure."""

from __future__ import annotations

import enum


class Answer(enum.StrEnum):
    """What an adopter says of a report at or near their asset."""

    DONE = "done"
    NEEDS_CITY = "needs_city"


class HelpState(enum.StrEnum):
    """Where a request for help stands."""

    OPEN = "open"
    DONE = "done"
    NEEDS_CITY = "needs_city"
    #: The report turned out to be about something else.
    WITHDRAWN = "withdrawn"


#: States in which it was answered.
ANSWERED = (HelpState.DONE, HelpState.NEEDS_CITY)
