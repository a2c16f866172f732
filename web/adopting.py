"""The links of letters to volunteers: go on or let go, take a free place, accept a hand-over.

Opening one shows; only its buttons act. A link that was used, or whose matter is over, says so.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from flask import current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts.access import TOKEN, allow
from assets.adoption import claiming, keeping, passing, queries, waiting
from assets.adoption.models import Adoption
from assets.adoption.queries import AssetRef
from assets.models import Asset
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import ConflictError, NotFoundError
from core.i18n import pick
from web.pages import blueprint, page, reader_language
from web.wording import wording


@blueprint.get("/adoptions/<uuid:adoption_id>/<token>")
@allow(TOKEN)
def adoption(adoption_id: UUID, token: str) -> ResponseReturnValue:
    """What one looks after and until when, with two buttons."""
    with reading() as session:
        found = keeping.of_link(session, adoption_id, token, secret=_secret())
        return _page(session, "adoption", _asset(session, found), until=found.until)


@blueprint.post("/adoptions/<uuid:adoption_id>/<token>")
@allow(TOKEN)
def answer_adoption(adoption_id: UUID, token: str) -> ResponseReturnValue:
    """Go on for another term, or let go."""
    choice = request.form.get("choice")
    with transaction() as session:
        found = keeping.of_link(session, adoption_id, token, secret=_secret())
        if choice == "renew":
            keeping.renew(session, found, now=utc_now())
            done = "renewed"
        elif choice == "release":
            claiming.release_by_link(session, found, now=utc_now())
            done = "released"
        else:
            raise NotFoundError
        return _page(session, "adoption", _asset(session, found), until=found.until, done=done)


@blueprint.get("/offers/<uuid:wait_id>/<token>")
@allow(TOKEN)
def offer(wait_id: UUID, token: str) -> ResponseReturnValue:
    """A place became free and is kept for the reader."""
    with reading() as session:
        wait = waiting.of_link(session, wait_id, token, secret=_secret(), now=utc_now())
        asset = session.get_one(Asset, wait.asset_id)
        return _page(session, "offer", asset, until=wait.offered_until)


@blueprint.post("/offers/<uuid:wait_id>/<token>")
@allow(TOKEN)
def answer_offer(wait_id: UUID, token: str) -> ResponseReturnValue:
    """Take the place, or leave it to the next one."""
    choice, now = request.form.get("choice"), utc_now()
    try:
        with transaction() as session:
            wait = waiting.of_link(session, wait_id, token, secret=_secret(), now=now)
            asset = session.get_one(Asset, wait.asset_id)
            if choice == "accept":
                until = waiting.accept(session, wait, now=now).until
                return _page(session, "offer", asset, until=until, done="accepted")
            if choice != "decline":
                raise NotFoundError
            waiting.leave(session, wait.person_id, asset.id, now=now)
            return _page(session, "offer", asset, done="declined")
    except ConflictError as error:
        with reading() as session:
            wait = waiting.of_link(session, wait_id, token, secret=_secret(), now=now)
            asset = session.get_one(Asset, wait.asset_id)
            return _page(session, "offer", asset, until=wait.offered_until, fault=error, status=409)


@blueprint.get("/handovers/<uuid:handover_id>/<token>")
@allow(TOKEN)
def handover(handover_id: UUID, token: str) -> ResponseReturnValue:
    """An adopter offers their asset to the reader."""
    with reading() as session:
        found = passing.of_link(session, handover_id, token, secret=_secret(), now=utc_now())
        asset = _asset(session, session.get_one(Adoption, found.adoption_id))
        return _page(session, "handover", asset, until=found.until)


@blueprint.post("/handovers/<uuid:handover_id>/<token>")
@allow(TOKEN)
def answer_handover(handover_id: UUID, token: str) -> ResponseReturnValue:
    """Accept it, or not. Whoever has no account gets one: the link proves the address."""
    choice, now = request.form.get("choice"), utc_now()
    try:
        with transaction() as session:
            found = passing.of_link(session, handover_id, token, secret=_secret(), now=now)
            asset = _asset(session, session.get_one(Adoption, found.adoption_id))
            if choice == "accept":
                lang = reader_language(found.locale)
                until = passing.accept(session, found, locale=lang, now=now).until
                return _page(session, "handover", asset, until=until, done="accepted")
            if choice != "decline":
                raise NotFoundError
            passing.refuse(session, found, now=now)
            return _page(session, "handover", asset, done="declined")
    except ConflictError as error:
        with reading() as session:
            found = passing.of_link(session, handover_id, token, secret=_secret(), now=now)
            asset = _asset(session, session.get_one(Adoption, found.adoption_id))
            return _page(session, "handover", asset, until=found.until, fault=error, status=409)


def _asset(session: Session, adopted: Adoption) -> Asset:
    return session.get_one(Asset, adopted.asset_id)


def _page(
    session: Session,
    kind: str,
    asset: Asset,
    *,
    until: datetime | None = None,
    done: str | None = None,
    fault: ConflictError | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    ref: AssetRef = queries.refer(session, [asset])[asset.id]
    lang = reader_language(ref.place.default_locale)
    shown = [each.name for each in queries.shown(session, [asset.id]).get(asset.id, ())]
    known_fault = None
    if fault is not None:
        key = f"adopting.fault.{fault.code}"
        known_fault = key if wording(lang).has(key) else "adopting.fault.other"
    return page(
        "adopting.html",
        status=status,
        locale=ref.place.default_locale,
        is_private=True,
        kind=kind,
        done=done,
        fault=known_fault,
        kind_name=pick(ref.kind.names, lang, ref.place.default_locale),
        code=ref.code,
        names=[name for name in shown if name],
        city=ref.place.name(lang),
        zone=ref.place.time_zone,
        until=until,
    )


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret
