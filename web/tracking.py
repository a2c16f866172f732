"""The reporter's own page of a report, and what its forms do. The link is the key.

GET shows; only a POST from the page acts, because mail scanners open links. After a POST the
browser is sent back by 303, so that reloading repeats nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts.access import TOKEN, allow
from core.api import STORABLE
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError, InvalidError, NotFoundError
from core.i18n import pick
from reports import conversation, media
from reports.forecast import foreseeing, telling
from reports.media.staging import StagedPhoto
from reports.models import ServiceRequest
from web import timeline
from web.pages import blueprint, page, reader_language
from web.timeline import ReportPage

#: As much as the description of a report may have.
_MAX_WORDS = 4000


@blueprint.get("/r/<uuid:report_id>/<token>")
@allow(TOKEN)
def track(report_id: UUID, token: str) -> ResponseReturnValue:
    """Where a report stands, for whoever sent it."""
    return _show(report_id, token, done=request.args.get("done"))


@blueprint.route("/r/<uuid:report_id>/<token>/<action>", methods=["GET", "POST"])
@allow(TOKEN)
def act(report_id: UUID, token: str, action: str) -> ResponseReturnValue:
    """Add, answer, withdraw, or say that it is not fixed; reloading a refusal leads back."""
    work = _ACTIONS.get(action)
    if work is None:
        raise NotFoundError
    if request.method != "POST":
        return _back(report_id, token)
    try:
        done = work(report_id, token)
    except NotFoundError:
        raise
    except DomainError as error:
        return _show(report_id, token, error=error, action=action)
    finally:
        # Large uploads lie in temporary files; they go now, not when somebody collects garbage.
        request.close()
    return _back(report_id, token, done=done)


def _show(
    report_id: UUID,
    token: str,
    *,
    done: str | None = None,
    error: DomainError | None = None,
    action: str | None = None,
) -> ResponseReturnValue:
    now = utc_now()
    with reading() as session:
        if not conversation.holds_link(session, report_id, token, secret=_secret()):
            raise NotFoundError
        found = timeline.for_reporter(session, report_id)
        if found is None:
            raise NotFoundError
        return page(
            "track.html",
            status=error.status if error else 200,
            locale=found.report.locale or found.place.default_locale,
            is_private=True,
            found=found,
            token=token,
            done=done if done in _DONE else None,
            error=error,
            action=action,
            words=request.form.get("text", "") if error else "",
            reopening_ends_at=found.reopening_ends_at(now),
            usual=_usual(session, found, now),
            **names(found),
        )


def _usual(session: Session, found: ReportPage, now: datetime) -> str | None:
    """How long reports like this one take, while it is open; None where too little is known."""
    if not found.work_status.is_open:
        return None
    leader = found.parent or found.report
    forecast = foreseeing.foresee(
        session, found.place, leader.service_id, areas=leader.areas or (), at=now
    )
    if forecast is None or forecast.median_h is None:
        return None
    return telling.sentence(
        forecast, reader_language(found.report.locale or found.place.default_locale)
    )


def names(found: ReportPage) -> dict[str, Any]:
    """The names on a report's page, in the reader's language."""
    lang = reader_language(found.report.locale or found.place.default_locale)
    default = found.place.default_locale
    return {
        "city": found.place.name(lang),
        "zone": found.place.time_zone,
        "service_name": pick(found.service.names, lang, default),
        "team_name": pick(found.team_names, lang, default) if found.team_names else None,
    }


def _back(report_id: UUID, token: str, done: str | None = None) -> ResponseReturnValue:
    lang = request.args.get("lang")
    return redirect(
        url_for("web.track", report_id=report_id, token=token, done=done, lang=lang), 303
    )


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret


# -- the forms ------------------------------------------------------------------------------------


def _add(report_id: UUID, token: str) -> str:
    text = _words()
    uploads = [file for file in request.files.getlist("photos") if file.filename]
    with reading() as session:
        # Before bytes are kept for somebody who holds no link.
        if not conversation.holds_link(session, report_id, token, secret=_secret()):
            raise NotFoundError
    checked = media.check_photos([upload.stream for upload in uploads])
    staged: list[StagedPhoto] = []
    if checked:
        staged = media.stage(current_app.extensions["storage"], checked)
    with transaction() as session:
        report = _take(session, report_id, token)
        now = utc_now()
        conversation.add(session, report, text, photos=len(staged), now=now)
        media.insert_staged(
            session,
            report.id,
            staged,
            by=conversation.REPORTER,
            jurisdiction_id=report.jurisdiction_id,
            now=now,
        )
    return "added"


def _answer(report_id: UUID, token: str) -> str:
    text = _words()
    if not text:
        raise InvalidError("Say something.", field="text")
    with transaction() as session:
        report = _take(session, report_id, token)
        conversation.answer(session, report, text, now=utc_now())
    return "answered"


def _withdraw(report_id: UUID, token: str) -> str:
    text = _words()
    with transaction() as session:
        report = _take(session, report_id, token)
        is_closed = conversation.withdraw(session, report, text, now=utc_now())
    return "withdrawn" if is_closed else "left"


def _not_fixed(report_id: UUID, token: str) -> str:
    text = _words()
    with transaction() as session:
        report = _take(session, report_id, token)
        conversation.not_fixed(session, report, text, now=utc_now())
    return "reopened"


_ACTIONS: Mapping[str, Callable[[UUID, str], str]] = {
    "addition": _add,
    "answer": _answer,
    "withdrawal": _withdraw,
    "not-fixed": _not_fixed,
}

_DONE = frozenset({"added", "answered", "withdrawn", "left", "reopened"})


def _take(session: Session, report_id: UUID, token: str) -> ServiceRequest:
    return conversation.take_as_reporter(session, report_id, token, secret=_secret())


def _words() -> str | None:
    """What was written into the form; None when nothing was.

    Raises:
        InvalidError: it is too long, or cannot be stored.
    """
    # Browsers send line ends as two characters.
    text = request.form.get("text", "").replace("\r\n", "\n").strip()
    if len(text) > _MAX_WORDS:
        raise InvalidError(f"At most {_MAX_WORDS} characters.", field="text")
    if not STORABLE.match(text):
        raise InvalidError("Control characters cannot be stored.", field="text")
    return text or None
