"""The links of a letter about a report at one's asset: "I did it", and "it needs the city".

Opening one shows what it is about and a form; only the form's button answers. A link that was used,
or whose report was answered or is over, says so.
"""

from __future__ import annotations

from uuid import UUID

from flask import current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts.access import TOKEN, allow
from assets.care.rules import actions_of
from assets.helping import answering, queries
from assets.helping.answering import Said
from assets.helping.models import HelpRequest
from assets.helping.vocabulary import ANSWERED, Answer
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import ConflictError, InvalidError
from core.i18n import pick
from reports.media.checking import check_photos
from reports.media.staging import StagedPhoto, stage
from reports.rules import public_address
from web.pages import blueprint, page, reader_language
from web.wording import wording

#: As much as over the API.
_MAX_WORDS = 1000


@blueprint.get("/help/<uuid:help_id>/<any(done, needs_city):choice>/<token>")
@allow(TOKEN)
def help_request(help_id: UUID, choice: str, token: str) -> ResponseReturnValue:
    """A report at or near what one looks after, with a form to answer."""
    with reading() as session:
        asked = answering.of_link(session, help_id, token, secret=_secret(), now=utc_now())
        if not answering.is_open(session, asked):
            return _page(session, asked, choice, fault=_over(asked), status=410)
        return _page(session, asked, choice)


@blueprint.post("/help/<uuid:help_id>/<any(done, needs_city):choice>/<token>")
@allow(TOKEN)
def answer_help_request(help_id: UUID, choice: str, token: str) -> ResponseReturnValue:
    """The answer, with words and a photo if need be."""
    now = utc_now()
    try:
        with reading() as session:
            # Nobody keeps files here whom the link does not let in.
            asked = answering.of_link(session, help_id, token, secret=_secret(), now=now)
            if not answering.is_open(session, asked):
                return _page(session, asked, choice, fault=_over(asked), status=409)
        words = request.form.get("note", "")
        if len(words) > _MAX_WORDS:
            raise InvalidError("That is too long.", field="note")
        action = request.form.get("action") or None
        said = Said(Answer(choice), note=words, action=action, photos=_staged())
        with transaction() as session:
            asked = answering.of_link(session, help_id, token, secret=_secret(), now=now)
            asked = answering.answer(session, asked.id, said, now=now)
            done = choice if choice != Answer.DONE or asked.has_resolved else "proposed"
            return _page(session, asked, choice, done=done)
    except (ConflictError, InvalidError) as error:
        with reading() as session:
            asked = answering.of_link(session, help_id, token, secret=_secret(), now=now)
            return _page(session, asked, choice, fault=error.code, status=error.status)
    finally:
        # Large uploads lie in temporary files; they go now.
        request.close()


def _staged() -> tuple[StagedPhoto, ...]:
    files = [file for file in request.files.getlist("photos") if file.filename]
    photos = check_photos([file.stream for file in files[:1]])
    return tuple(stage(current_app.extensions["storage"], photos)) if photos else ()


def _over(asked: HelpRequest) -> str:
    """Why a request for help is not open any more, as the page says it."""
    return "yours" if asked.state in ANSWERED else "over"


def _page(
    session: Session,
    asked: HelpRequest,
    choice: str,
    *,
    done: str | None = None,
    fault: str | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    shown = queries.one(session, asked)
    asset, report = shown.asset, shown.report
    default = asset.place.default_locale
    lang = reader_language(default)
    known_fault = None
    if fault is not None:
        key = f"helping.fault.{fault}"
        known_fault = key if wording(lang).has(key) else "helping.fault.other"
    return page(
        "helping.html",
        status=status,
        locale=default,
        is_private=True,
        choice=choice,
        done=done,
        fault=known_fault,
        is_over=status in (409, 410),
        kind_name=pick(asset.kind.names, lang, default),
        code=asset.code,
        asset_id=asset.id,
        city=asset.place.name(lang),
        zone=asset.place.time_zone,
        service_name=pick(report.service.names, lang, default),
        number=report.row.number,
        requested_at=report.row.requested_at,
        place_code=asset.place.code,
        is_public=shown.is_public,
        description=report.row.description if shown.is_public else None,
        address=public_address(report.row.address, report.service.public_precision)
        if shown.is_public
        else None,
        is_near=asked.distance_m is not None,
        actions=[
            (action.code, pick(action.names, lang, default))
            for action in actions_of(asset.kind.care)
            if not action.is_problem
        ],
        resolves=shown.resolves,
        max_words=_MAX_WORDS,
    )


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret
