"""What can be wrong with an answer to a request for help, as the adopter is told."""

from __future__ import annotations

from core.errors import ConflictError, NotFoundError


class AnsweredAlreadyError(ConflictError):
    """They have answered, or another adopter was quicker."""

    code = "answered_already"
    title = "Somebody has answered already"


class NotAskedError(NotFoundError):
    """The report is not at or near an asset that the caller looks after."""

    code = "not_yours"
    title = "This report is not about an asset that you look after"
