"""Confirming an address and leaving a report: the two links of those who follow it."""

from __future__ import annotations

from uuid import UUID

from flask import current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts.access import TOKEN, allow
from core.clock import utc_now
from core.db import reading, transaction
from core.i18n import pick
from core.tokens import Purpose
from geo import jurisdictions
from reports import conversation
from reports.models import Follower, Service, ServiceRequest
from reports.rules import public_address
from web.pages import blueprint, page, reader_language


@blueprint.get("/confirm/<uuid:follower_id>/<token>")
@allow(TOKEN)
def confirm(follower_id: UUID, token: str) -> ResponseReturnValue:
    """Is this address yours? One button."""
    with reading() as session:
        follower = _follower(session, follower_id, Purpose.CONFIRM, token)
        return _page(session, follower, "confirm", is_done=False)


@blueprint.post("/confirm/<uuid:follower_id>/<token>")
@allow(TOKEN)
def confirmed(follower_id: UUID, token: str) -> ResponseReturnValue:
    """It is: from now on news goes there. Twice is once."""
    with transaction() as session:
        follower = conversation.confirm(
            session, follower_id, token, secret=_secret(), now=utc_now()
        )
        return _page(session, follower, "confirm", is_done=True)


@blueprint.get("/leave/<uuid:follower_id>/<token>")
@allow(TOKEN)
def leave(follower_id: UUID, token: str) -> ResponseReturnValue:
    """Be told no more? One button."""
    with reading() as session:
        follower = _follower(session, follower_id, Purpose.LEAVE, token)
        return _page(session, follower, "leave", is_done=False)


@blueprint.post("/leave/<uuid:follower_id>/<token>")
@allow(TOKEN)
def left(follower_id: UUID, token: str) -> ResponseReturnValue:
    """Be told no more. The button comes here, and so does a mail program (RFC 8058), which sends
    `List-Unsubscribe=One-Click`, follows no redirect and reads no page."""
    with transaction() as session:
        follower = conversation.leave(session, follower_id, token, secret=_secret(), now=utc_now())
        if request.form.get("List-Unsubscribe") == "One-Click":
            return "", 200
        return _page(session, follower, "leave", is_done=True)


def _follower(session: Session, follower_id: UUID, purpose: Purpose, token: str) -> Follower:
    return conversation.follower_of(session, follower_id, purpose, token, secret=_secret())


def _page(session: Session, follower: Follower, kind: str, *, is_done: bool) -> ResponseReturnValue:
    report = session.get_one(ServiceRequest, follower.report_id)
    service = session.get_one(Service, report.service_id)
    place = jurisdictions.by_id(session, report.jurisdiction_id)
    lang = reader_language(follower.locale)
    return page(
        "follow.html",
        locale=follower.locale,
        is_private=True,
        kind=kind,
        is_done=is_done,
        report=report,
        address=report.address
        if follower.is_reporter
        else public_address(report.address, service.public_precision),
        place=place,
        city=place.name(lang),
        service_name=pick(service.names, lang, place.default_locale),
    )


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret
