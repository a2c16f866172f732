"""What can be wrong with a call about adoption, as the caller is told."""

from __future__ import annotations

from assets.adoption.vocabulary import Refusal
from core.errors import ConflictError, DomainError, ForbiddenError, InvalidError, NotFoundError


class NotVerifiedError(ForbiddenError):
    """Nobody has proved that the account's address is theirs."""

    code = "not_verified"
    title = "Prove your e-mail address or telephone number first"


class ForeignAssetError(InvalidError):
    """The asset stands in another city than the caller says."""

    code = "foreign_asset"
    title = "This asset belongs to another jurisdiction"


class NotAdoptableError(ConflictError):
    """The kind of asset is not for adoption."""

    code = Refusal.NOT_ADOPTABLE.value
    title = "Assets of this kind are not for adoption"


class NotThereError(ConflictError):
    """The asset was removed, or taken elsewhere."""

    code = Refusal.NOT_THERE.value
    title = "This asset is not there any more"


class YoursAlreadyError(ConflictError):
    """The caller looks after it already."""

    code = Refusal.YOURS_ALREADY.value
    title = "You look after it already"


class LimitReachedError(ConflictError):
    """The caller looks after as many of the kind as one person may; `limit` says how many."""

    code = Refusal.LIMIT_REACHED.value
    title = "You look after as many of these as one volunteer may"


class AdoptedError(ConflictError):
    """Every place is taken, or kept for somebody on the waiting list.

    The answer offers the waiting list (`waiting_list`) and the nearest free ones (`nearest_free`).
    """

    code = Refusal.ADOPTED.value
    title = "Somebody else looks after it"


class NotWaitedForError(ConflictError):
    """There is a free place: nobody needs to wait."""

    code = "free_to_adopt"
    title = "There is a free place: adopt it"


class NotYoursError(NotFoundError):
    """The caller does not look after it."""

    code = "not_yours"
    title = "You do not look after it"


class HandoverOpenError(ConflictError):
    """It was offered to somebody who has not answered yet."""

    code = "handover_open"
    title = "It is offered to somebody already"


class LinkOverError(DomainError):
    """What the link was about is over: answered, withdrawn, or too late."""

    status = 410
    code = "link_gone"
    title = "This link does not work any more"


#: Which error says which refusal.
OF_REFUSAL: dict[Refusal, type[ConflictError]] = {
    Refusal.NOT_ADOPTABLE: NotAdoptableError,
    Refusal.NOT_THERE: NotThereError,
    Refusal.YOURS_ALREADY: YoursAlreadyError,
    Refusal.LIMIT_REACHED: LimitReachedError,
    Refusal.ADOPTED: AdoptedError,
}
