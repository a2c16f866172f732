"""What everybody may see: a report's public page, and photos."""

from __future__ import annotations

from uuid import UUID

from flask import Response, abort, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue

from accounts.access import EVERYONE, allow, current_actor
from accounts.rules import Permission
from core.db import db, reading
from core.errors import NotFoundError
from core.tokens import Purpose, matches
from geo import jurisdictions
from reports import media, own
from reports.conversation import seen_by_all
from reports.storage import MissingFileError
from web import timeline
from web.pages import blueprint, page
from web.tracking import names

#: Short, so that a photo that is taken away is soon gone from caches too.
_PUBLIC_AGE_S = 3600
_PRIVATE_AGE_S = 300

#: A photo that is opened by itself is a picture and nothing else, whatever its bytes say.
_PHOTO_POLICY = "default-src 'none'; sandbox"


@blueprint.get("/report/<jurisdiction>/<int:number>")
@allow(EVERYONE)
def report(jurisdiction: str, number: int) -> ResponseReturnValue:
    """A report as everybody may see it."""
    with reading() as session:
        found = None
        if number < 2**63:
            found = timeline.for_public(session, jurisdiction, number)
        if found is None:
            raise NotFoundError
        return page("report.html", locale=found.place.default_locale, found=found, **names(found))


@blueprint.get("/reports/<uuid:report_id>")
@allow(EVERYONE)
def report_by_id(report_id: UUID) -> ResponseReturnValue:
    """Leads to the page of a report by the number that people know."""
    with reading() as session:
        found = seen_by_all(session, report_id)
        place = jurisdictions.by_id(session, found.jurisdiction_id)
        number = found.number
    lang = request.args.get("lang")
    return redirect(url_for("web.report", jurisdiction=place.code, number=number, lang=lang))


@blueprint.get("/media/<uuid:photo_id>/<size>.jpg")
@allow(EVERYONE)
def photo(photo_id: UUID, size: str) -> ResponseReturnValue:
    """A cleaned photo. One that is not public only with the tracking token, for its
    reporter and for its staff.

    The bytes go through us, from a bucket too: a photo that is hidden is hidden at once, and a
    page needs no permission to load from elsewhere. A cache in front takes the load.
    """
    try:
        wanted = media.Size(size)
    except ValueError:
        raise NotFoundError from None
    with reading() as session:
        shown = media.find_shown(session, photo_id, wanted)
        if not shown.is_public and not _may_see(shown):
            raise NotFoundError
    # The name and the bytes behind it never change.
    etag = f"{photo_id.hex}-{wanted.value}"
    response = Response(mimetype="image/jpeg")
    response.set_etag(etag)
    kept = (
        f"public, max-age={_PUBLIC_AGE_S}"
        if shown.is_public
        else f"private, max-age={_PRIVATE_AGE_S}"
    )
    response.headers["Cache-Control"] = kept
    response.headers["Content-Security-Policy"] = _PHOTO_POLICY
    if etag in request.if_none_match:
        response.status_code = 304
        return response
    try:
        response.set_data(current_app.extensions["storage"].get(shown.key))
    except MissingFileError:
        abort(404)
    response.headers["Content-Disposition"] = f'inline; filename="{photo_id}.jpg"'
    # Pages of other sites may show what is public.
    policy = "cross-origin" if shown.is_public else "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = policy
    return response


def _may_see(shown: media.ShownPhoto) -> bool:
    token = request.args.get("token")
    if token is not None:
        secret = current_app.config["SECRET_KEY"]
        return matches(secret, Purpose.TRACK, shown.report_id, shown.token_version, token)
    actor = current_actor()
    if actor.may(Permission.READ_REPORTS, shown.jurisdiction_id, shown.team_id):
        return True
    return actor.person_id is not None and own.is_reporter(
        db.session(), shown.report_id, actor.person_id
    )
