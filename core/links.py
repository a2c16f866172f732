"""Addresses of the pages that messages link to: one place for those who write and who serve them.

A link that lets its holder do something ends in a token of `core.tokens`; it is rendered when it
is needed and kept nowhere. `lang` opens the page in the reader's language, whatever the browser
asks for. The paths themselves are routed in `web`.
"""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID


def track_url(base: str, report_id: UUID, token: str, lang: str | None = None) -> str:
    """The reporter's own page of a report. Token: `Purpose.TRACK`, the report's version."""
    return _url(base, lang, "r", report_id, token)


def confirm_url(base: str, follower_id: UUID, token: str, lang: str | None = None) -> str:
    """Where somebody says that an address is theirs. Token: `Purpose.CONFIRM`, the follower's."""
    return _url(base, lang, "confirm", follower_id, token)


def leave_url(base: str, follower_id: UUID, token: str, lang: str | None = None) -> str:
    """Where somebody stops being told, by a button or by RFC 8058. Token: `Purpose.LEAVE`."""
    return _url(base, lang, "leave", follower_id, token)


def sign_in_url(base: str, challenge_id: UUID, token: str, lang: str | None = None) -> str:
    """Where a mailed sign-in link is used up. Token: `Purpose.SIGN_IN`, the challenge's."""
    return _url(base, lang, "sign-in", challenge_id, token)


def invitation_url(base: str, invitation_id: UUID, token: str, lang: str | None = None) -> str:
    """Where somebody accepts a role. Token: `Purpose.INVITATION`, the invitation's version."""
    return _url(base, lang, "invitations", invitation_id, token)


def adoption_url(base: str, adoption_id: UUID, token: str, lang: str | None = None) -> str:
    """Where an adopter renews or releases. Token: `Purpose.ADOPTION`, the adoption's version."""
    return _url(base, lang, "adoptions", adoption_id, token)


def offer_url(base: str, wait_id: UUID, token: str, lang: str | None = None) -> str:
    """Where a free place is taken or declined. Token: `Purpose.OFFER`, version 1."""
    return _url(base, lang, "offers", wait_id, token)


def handover_url(base: str, handover_id: UUID, token: str, lang: str | None = None) -> str:
    """Where an asset is accepted from its adopter. Token: `Purpose.HANDOVER`, version 1."""
    return _url(base, lang, "handovers", handover_id, token)


def care_url(base: str, call_id: UUID, adoption_id: UUID, token: str, lang: str | None) -> str:
    """Where an adopter answers that an asset needs care. Token: `Purpose.CARE`, of the adoption
    and the call."""
    return _url(base, lang, "care", call_id, adoption_id, token)


def help_url(base: str, help_id: UUID, choice: str, token: str, lang: str | None) -> str:
    """Where an adopter answers about a report at or near their asset, `done` or `needs_city`.
    Token: `Purpose.HELP`, of the request for help and the adoption's version."""
    return _url(base, lang, "help", help_id, choice, token)


def clear_url(base: str, row_id: UUID, token: str, lang: str | None) -> str:
    """Where an adopter says whether it is clear. Token: `Purpose.CLEAR`, of one asset's ask or of
    the whole letter."""
    return _url(base, lang, "clear", row_id, token)


def leave_campaigns_url(base: str, letter_id: UUID, token: str, lang: str | None) -> str:
    """Where an adopter is told of no campaign any more. Token: `Purpose.LEAVE_CAMPAIGNS`."""
    return _url(base, lang, "leave-campaigns", letter_id, token)


def report_url(base: str, jurisdiction_code: str, number: int, lang: str | None = None) -> str:
    """The public page of a report, by the number that people know."""
    return _url(base, lang, "report", jurisdiction_code, number)


def photo_url(base: str, photo_id: UUID, size: str = "full", token: str | None = None) -> str:
    """A cleaned photo, `full` or `thumb`; the tracking token opens one that is not public."""
    url = _url(base, None, "media", photo_id, f"{size}.jpg")
    return f"{url}?token={quote(token, safe='')}" if token else url


def _url(base: str, lang: str | None, *parts: object) -> str:
    path = "/".join(quote(str(part), safe="") for part in parts)
    return f"{base}/{path}" + (f"?lang={quote(lang, safe='')}" if lang else "")
