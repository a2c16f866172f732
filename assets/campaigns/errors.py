"""What can be wrong with a call about campaigns, as the caller is told."""

from __future__ import annotations

from core.errors import ConflictError, InvalidError


class WindowError(InvalidError):
    """The campaign ends before it begins, or is over already."""

    code = "bad_window"
    title = "The campaign must end after it begins, and not in the past"


class WordsError(InvalidError):
    """The words are missing, or hold a placeholder that there is not; `placeholders` lists them."""

    code = "bad_words"
    title = "The words of the campaign cannot be sent"


class TriggerError(InvalidError):
    """What should set it off is not said whole, or never happens."""

    code = "bad_trigger"
    title = "Say when the campaign goes out"


class ConfirmationNeededError(ConflictError):
    """It would go to nobody, or to very many.

    `recipients` and `assets` say to how many and about how many, `reason` which of the two it is.
    Send the same again with `confirm` as it stands in the answer.
    """

    code = "confirmation_needed"
    title = "Look at the number, and confirm it"


class CampaignOverError(ConflictError):
    """It was ended, or its window is over."""

    code = "campaign_over"
    title = "This campaign is over"


class NotActiveError(ConflictError):
    """It is paused."""

    code = "campaign_paused"
    title = "This campaign is paused"


class NotItsTimeError(ConflictError):
    """Its window or its season has not begun."""

    code = "not_its_time"
    title = "It is not the time of this campaign"


class TooSoonError(ConflictError):
    """It went out lately; `again_at` says when it may go out again."""

    code = "cooling_down"
    title = "This campaign went out lately"
