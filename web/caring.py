"""What a volunteer does: the link that answers a call, what they look after, their certificate.

The certificate says what one person did and compares it with nobody's. It is a page made to be
printed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts.access import SESSION, TOKEN, allow, current_actor
from accounts.models import Person
from assets.adoption import queries as adoptions
from assets.adoption.models import Adoption
from assets.adoption.queries import AssetRef
from assets.care import calling, queries
from assets.helping import queries as helping
from assets.helping.models import HelpRequest
from assets.models import Asset
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import NotFoundError
from core.i18n import pick
from core.links import help_url
from core.tokens import Purpose, token_for
from web.pages import blueprint, page, reader_language

#: Years that a certificate can be asked for.
_YEARS = range(2000, 2200)


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of work on the certificate."""

    kind: str
    action: str
    count: int
    quantity: float
    unit: str


@blueprint.get("/care/<uuid:call_id>/<uuid:adoption_id>/<token>")
@allow(TOKEN)
def care_call(call_id: UUID, adoption_id: UUID, token: str) -> ResponseReturnValue:
    """Somebody says that an asset needs care: two buttons."""
    with reading() as session:
        made, _ = calling.of_link(session, call_id, adoption_id, token, secret=_secret())
        return _call_page(session, made.asset_id)


@blueprint.post("/care/<uuid:call_id>/<uuid:adoption_id>/<token>")
@allow(TOKEN)
def answer_care_call(call_id: UUID, adoption_id: UUID, token: str) -> ResponseReturnValue:
    """It is done, or was a false alarm."""
    choice, now = request.form.get("choice"), utc_now()
    with transaction() as session:
        made, adoption = calling.of_link(session, call_id, adoption_id, token, secret=_secret())
        if choice == "done":
            calling.done(session, made, adoption, now=now)
        elif choice == "false_alarm":
            calling.false_alarm(session, call_id, adoption.person_id, now=now)
        else:
            raise NotFoundError
        return _call_page(session, made.asset_id, answered=choice)


@blueprint.get("/my-care")
@allow(SESSION)
def my_care() -> ResponseReturnValue:
    """What one looks after and what one did, with the way to the certificate."""
    actor = current_actor()
    assert actor.person_id is not None
    lang = reader_language(actor.locale)
    now = utc_now()
    with reading() as session:
        held = adoptions.of_person(
            session, actor.person_id, ended=False, cursor=None, limit=100
        ).items
        asked = helping.of_person(session, actor.person_id, cursor=None, limit=20).items
        logged = queries.of_person(session, actor.person_id, cursor=None, limit=20).items
        return page(
            "my_care.html",
            is_private=True,
            adoptions=[{**_named(each.asset, lang), "until": each.adoption.until} for each in held],
            asked=[
                {
                    **_named(each.asset, lang),
                    "service_name": pick(
                        each.report.service.names, lang, each.asset.place.default_locale
                    ),
                    "requested_at": each.report.row.requested_at,
                    "done_url": _help_url(session, each.request, "done", lang),
                    "city_url": _help_url(session, each.request, "needs_city", lang),
                }
                for each in asked
            ],
            logged=[
                {
                    **_named(each.asset, lang),
                    "action": pick(queries.action_name(each.asset.kind, each.care.action), lang),
                    "at": each.care.at,
                    "minutes": each.care.minutes,
                }
                for each in logged
            ],
            tally=queries.tally(session, actor.person_id, now=now),
            year=now.year,
        )


@blueprint.get("/my-care/certificate")
@allow(SESSION)
def certificate() -> ResponseReturnValue:
    """A page to print: what one did in a year."""
    actor = current_actor()
    assert actor.person_id is not None
    lang, now = reader_language(actor.locale), utc_now()
    year = request.args.get("year", now.year, type=int)
    if year not in _YEARS:
        raise NotFoundError
    since, until = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    with reading() as session:
        person = session.get_one(Person, actor.person_id)
        tally = queries.tally(session, actor.person_id, since=since, until=until, now=now)
        if not tally.entries:
            raise NotFoundError
        lines = []
        for kind, code, count, quantity in tally.actions:
            action = kind.care.action(code)
            lines.append(
                Line(
                    kind=pick(kind.names, lang),
                    action=pick(queries.action_name(kind, code), lang),
                    count=count,
                    quantity=quantity,
                    unit=pick(action.unit, lang) if action is not None else "",
                )
            )
        return page(
            "certificate.html",
            is_private=True,
            name=person.name or person.email or "",
            year=year,
            tally=tally,
            hours=round(tally.minutes / 60, 1),
            lines=lines,
            zone=UTC,
        )


def _call_page(
    session: Session, asset_id: UUID, answered: str | None = None
) -> ResponseReturnValue:
    asset = session.get_one(Asset, asset_id)
    ref = adoptions.refer(session, [asset])[asset_id]
    lang = reader_language(ref.place.default_locale)
    return page(
        "care_call.html",
        locale=ref.place.default_locale,
        is_private=True,
        done=answered,
        city=ref.place.name(lang),
        **_named(ref, lang),
    )


def _named(asset: AssetRef, lang: str) -> dict[str, Any]:
    return {
        "kind_name": pick(asset.kind.names, lang, asset.place.default_locale),
        "code": asset.code,
        "asset_id": asset.id,
        "zone": asset.place.time_zone,
    }


def _help_url(session: Session, asked: HelpRequest, choice: str, lang: str) -> str:
    """Where they answer about a report, as in the letter."""
    version = session.get_one(Adoption, asked.adoption_id).token_version
    token = token_for(_secret(), Purpose.HELP, asked.id, version)
    return help_url(current_app.config["BASE_URL"], asked.id, choice, token, lang)


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret
