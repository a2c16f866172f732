"""What the reader reported and follows, a page at a time. The rest is on each report's own page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from flask import current_app, request
from flask.typing import ResponseReturnValue

from accounts.access import SESSION, allow, current_actor
from core import links
from core.db import reading
from core.errors import NotFoundError
from core.i18n import pick
from core.pagination import BadCursorError
from core.tokens import Purpose, token_for
from reports import own
from reports.queries import Found
from reports.rules import public_address
from reports.vocabulary import Status
from web.pages import blueprint, page, reader_language

_PER_PAGE = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A report in a list."""

    url: str
    number: int
    service: str
    city: str
    address: str | None
    status: Status
    requested_at: datetime
    zone: tzinfo


@blueprint.get("/my-reports")
@allow(SESSION)
def my_reports() -> ResponseReturnValue:
    """One's own reports, the latest first, and those one follows."""
    actor = current_actor()
    assert actor.person_id is not None
    lang = reader_language(actor.locale)
    own_cursor, followed_cursor = request.args.get("own"), request.args.get("followed")
    with reading() as session:
        try:
            mine = own.reports_of(session, actor.person_id, cursor=own_cursor, limit=_PER_PAGE)
            followed = own.followed_by(
                session, actor.person_id, cursor=followed_cursor, limit=_PER_PAGE
            )
        except BadCursorError:
            raise NotFoundError from None
        return page(
            "my_reports.html",
            is_private=True,
            mine=[_own(found, lang) for found in mine.items],
            mine_next=mine.next,
            is_mine_first=own_cursor is None,
            followed=[_public(each.found, lang) for each in followed.items],
            followed_next=followed.next,
            is_followed_first=followed_cursor is None,
        )


def _own(found: Found, lang: str) -> Line:
    """The link is the one that the reporter got by message: it opens the forms of their page."""
    token = token_for(
        current_app.config["SECRET_KEY"], Purpose.TRACK, found.row.id, found.row.token_version
    )
    asked = request.args.get("lang") and lang
    return _line(found, lang, links.track_url("", found.row.id, token, asked), found.row.address)


def _public(found: Found, lang: str) -> Line:
    asked = request.args.get("lang") and lang
    url = links.report_url("", found.place.code, found.row.number, asked)
    address = public_address(found.row.address, found.service.public_precision)
    return _line(found, lang, url, address)


def _line(found: Found, lang: str, url: str, address: str | None) -> Line:
    is_joined = found.row.status == Status.DUPLICATE and found.row.parent_status is not None
    return Line(
        url=url,
        number=found.row.number,
        service=pick(found.service.names, lang, found.place.default_locale),
        city=found.place.name(lang),
        address=address,
        # Where the work stands: on the report that this one was joined to, if it was.
        status=Status(found.row.parent_status if is_joined else found.row.status),
        requested_at=found.row.requested_at,
        zone=found.place.time_zone,
    )
