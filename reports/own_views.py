"""Of somebody who is signed in: the reports they made and those they follow.

What they do with one report, they do at its own address (`reports.public_views`), where a session
of its reporter serves as well as the tracking token; so do following and leaving.
"""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from accounts.access import SIGNED_IN, allow, current_person_id
from core.clock import utc_now
from core.db import reading
from reports import own, showing
from reports.public_schemas import FollowedListOut, MineListOut
from reports.schemas import PageQuery
from reports.viewing import listed, look

blueprint = Blueprint(
    "own_reports", __name__, description="Your own reports, and those you follow."
)


@blueprint.route("/me/reports", methods=["GET"])
@allow(SIGNED_IN)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, MineListOut)
def list_own(query: dict[str, Any]) -> Response:
    """What the caller reported, the latest first: signed in, or under a contact proved since."""
    reader, now = look(query), utc_now()
    with reading() as session:
        page = own.reports_of(
            session, current_person_id(), cursor=query.get("cursor"), limit=query["limit"]
        )
        asked = own.asked(session, [found.row.id for found in page.items])
        items = [
            showing.mine(found, reader, is_asked=found.row.id in asked, now=now)
            for found in page.items
        ]
    return _private(listed(items, page.next))


@blueprint.route("/me/following", methods=["GET"])
@allow(SIGNED_IN)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, FollowedListOut)
def list_followed(query: dict[str, Any]) -> Response:
    """What the caller follows beside their own reports, the latest first.

    To follow: `POST reports/{id}/followers`; to leave: `DELETE` there.
    """
    reader = look(query)
    with reading() as session:
        page = own.followed_by(
            session, current_person_id(), cursor=query.get("cursor"), limit=query["limit"]
        )
        items = [
            {"report": showing.public(each.found, reader), "since": each.since}
            for each in page.items
        ]
    return _private(listed(items, page.next))


def _private(response: Response) -> Response:
    response.vary.update(("Accept-Language", "Authorization"))
    response.headers["Cache-Control"] = "private, no-store"
    return response
