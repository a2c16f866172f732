"""The links of campaigns: is it clear, and no more of these.

Opening one shows; only its buttons act, so that a mail program that looks at links answers nothing.
"""

from __future__ import annotations

from uuid import UUID

from flask import current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts.access import TOKEN, allow
from assets.adoption.errors import LinkOverError
from assets.campaigns import answering
from assets.campaigns.answering import Asked, Opened
from assets.campaigns.vocabulary import Answer
from assets.kinds import kinds_of
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import NotFoundError
from core.i18n import pick
from geo import jurisdictions
from web.pages import blueprint, page, reader_language

#: What stands for all the assets of a letter in its form.
_ALL = "all"


@blueprint.get("/clear/<uuid:row_id>/<token>")
@allow(TOKEN)
def clear(row_id: UUID, token: str) -> ResponseReturnValue:
    """Is it clear? Three buttons for each asset that the link is about."""
    with reading() as session:
        opened = answering.of_link(session, row_id, token, secret=_secret(), now=utc_now())
        return _page(session, opened)


@blueprint.post("/clear/<uuid:row_id>/<token>")
@allow(TOKEN)
def answer_clear(row_id: UUID, token: str) -> ResponseReturnValue:
    """It is, it is not yet, or somebody is needed: of one asset, or of all."""
    now = utc_now()
    said, meant = _choice(), request.form.get("asset", _ALL)
    with transaction() as session:
        opened = answering.of_link(session, row_id, token, secret=_secret(), now=now)
        ids = None if meant == _ALL else {_uuid(meant)}
        answering.answer(session, opened, ids, said, now=now)
        try:
            again = answering.of_link(session, row_id, token, secret=_secret(), now=now)
        except LinkOverError:
            # Everything is answered.
            again = Opened(opened.campaign, opened.person_id, ())
        return _page(session, again, done=said)


@blueprint.get("/leave-campaigns/<uuid:letter_id>/<token>")
@allow(TOKEN)
def leave_campaigns(letter_id: UUID, token: str) -> ResponseReturnValue:
    """Be told of no campaign any more? One button."""
    with reading() as session:
        letter = answering.letter_of_link(session, letter_id, token, secret=_secret())
        return _leaving(session, answering.place_of(session, letter))


@blueprint.post("/leave-campaigns/<uuid:letter_id>/<token>")
@allow(TOKEN)
def left_campaigns(letter_id: UUID, token: str) -> ResponseReturnValue:
    """Be told no more, or again. The button comes here, and so does a mail program (RFC 8058)."""
    with transaction() as session:
        letter = answering.letter_of_link(session, letter_id, token, secret=_secret())
        if request.form.get("choice") == "again":
            answering.allow_again(session, letter)
            return _leaving(session, answering.place_of(session, letter), done="again")
        answering.refuse(session, letter, now=utc_now())
        if request.form.get("List-Unsubscribe") == "One-Click":
            return "", 200
        return _leaving(session, answering.place_of(session, letter), done="left")


def _page(session: Session, opened: Opened, done: Answer | None = None) -> ResponseReturnValue:
    place = jurisdictions.by_id(session, opened.campaign.jurisdiction_id)
    lang = reader_language(place.default_locale)
    names = kinds_of(session, place.id).by_id[opened.campaign.kind_id].names
    open_ones = [each for each in opened.asked if not each.is_over]
    return page(
        "clear.html",
        locale=place.default_locale,
        is_private=True,
        city=place.name(lang),
        done=done.value if done else None,
        kind_name=pick(names, lang, place.default_locale),
        asked=[_shown(each) for each in open_ones],
        is_over=not open_ones,
    )


def _shown(each: Asked) -> dict[str, object]:
    return {
        "id": each.ask.id,
        "code": each.asset.code,
        "name": each.adoption.name,
        "answer": each.ask.answer,
        "asset_id": each.asset.id,
    }


def _leaving(session: Session, place_id: int, done: str | None = None) -> ResponseReturnValue:
    place = jurisdictions.by_id(session, place_id)
    lang = reader_language(place.default_locale)
    return page(
        "leave_campaigns.html",
        locale=place.default_locale,
        is_private=True,
        city=place.name(lang),
        done=done,
    )


def _choice() -> Answer:
    try:
        return Answer(request.form.get("choice", ""))
    except ValueError:
        raise NotFoundError from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError from None


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret
