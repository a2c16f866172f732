"""The words of adoption: why one ended, what became of an offer, what its history holds. Pure."""

from __future__ import annotations

import enum


class EndReason(enum.StrEnum):
    """Why an adoption is over."""

    RELEASED = "released"
    LAPSED = "lapsed"  # nobody answered the nudges
    HANDED_OVER = "handed_over"
    BY_STAFF = "by_staff"
    ERASED = "erased"  # the person had everything on them forgotten


class Step(enum.StrEnum):
    """What falls due in the life of an adoption."""

    REMIND = "remind"
    NUDGE = "nudge"
    LAPSE = "lapse"


class WaitState(enum.StrEnum):
    """Where somebody on a waiting list stands."""

    WAITING = "waiting"
    OFFERED = "offered"
    ACCEPTED = "accepted"
    EXPIRED = "expired"  # the offer was not answered in time
    LEFT = "left"


#: States in which somebody still waits.
WAITS = (WaitState.WAITING, WaitState.OFFERED)


class HandoverState(enum.StrEnum):
    """What became of a hand-over."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Refusal(enum.StrEnum):
    """Why somebody may not adopt an asset now; also the `code` of the answer."""

    NOT_ADOPTABLE = "not_adoptable"
    NOT_THERE = "asset_not_there"
    YOURS_ALREADY = "yours_already"
    LIMIT_REACHED = "adoption_limit_reached"
    ADOPTED = "adopted"


class Entry(enum.StrEnum):
    """What the history of an adoption holds."""

    BEGUN = "begun"
    RENEWED = "renewed"
    REMINDED = "reminded"
    NUDGED = "nudged"
    ENDED = "ended"
    NAME_PROPOSED = "name_proposed"
    NAME_APPROVED = "name_approved"
    NAME_REFUSED = "name_refused"
    HANDOVER_OFFERED = "handover_offered"
    HANDOVER_REFUSED = "handover_refused"
    HANDOVER_WITHDRAWN = "handover_withdrawn"
    HANDOVER_EXPIRED = "handover_expired"
