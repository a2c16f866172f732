"""The forms of an asset's page: adopt it or wait for it, say that it needs care, correct it.

Each leads back to the page by 303, so that reloading repeats nothing; what cannot be done is said
there, with the waiting list and the nearest free ones where somebody else was quicker.
"""

from __future__ import annotations

from uuid import UUID

from flask import current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue

from accounts.access import EVERYONE, SESSION, allow, current_actor, current_person_id
from assets import photos
from assets.adoption import claiming, waiting
from assets.adoption.claiming import Wish
from assets.care import calling
from assets.corrections import proposing
from assets.corrections.proposing import Proposal
from assets.corrections.schemas import MAX_NOTE
from assets.corrections.vocabulary import What
from core.clock import utc_now
from core.db import transaction
from core.errors import DomainError, InvalidError, NotFoundError, NotSignedInError
from core.limits import Allowance, limited
from geo.measures import Point
from reports.media.checking import check_photos
from reports.media.staging import StagedPhoto, stage
from web.asset import show
from web.pages import blueprint

#: What a form about one that is there can say; one that is missing has no page.
_CORRECTIONS = {each.value: each for each in (What.GONE, What.MOVED, What.ATTRIBUTE)}


@blueprint.post("/assets/<uuid:asset_id>/volunteer")
@allow(SESSION)
def volunteer(asset_id: UUID) -> ResponseReturnValue:
    """Adopt it, wait for a place, or wait no more."""
    choice, now, person_id = request.form.get("choice"), utc_now(), current_person_id()
    try:
        with transaction() as session:
            if choice == "adopt":
                wish = Wish(shows_name=request.form.get("shows_name") == "yes")
                claiming.adopt(session, person_id, asset_id, wish, now=now)
                done = "adopted"
            elif choice == "wait":
                waiting.join(session, person_id, asset_id, now=now)
                done = "waiting"
            elif choice == "leave":
                waiting.leave(session, person_id, asset_id, now=now)
                done = "left"
            else:
                raise NotFoundError
    except (NotFoundError, NotSignedInError):
        raise
    except DomainError as error:
        return show(asset_id, fault=error.code, status=error.status)
    return _back(asset_id, done)


@blueprint.post("/assets/<uuid:asset_id>/needs-care")
@allow(EVERYONE)
@limited(Allowance.INTAKE)
def call_for_care(asset_id: UUID) -> ResponseReturnValue:
    """Say in passing that it needs care; whoever looks after it is told."""
    try:
        with transaction() as session:
            calling.call(session, asset_id, current_actor().person_id, now=utc_now())
    except NotFoundError:
        raise
    except DomainError as error:
        return show(asset_id, fault=error.code, status=error.status)
    return _back(asset_id, "called")


@blueprint.post("/assets/<uuid:asset_id>/correct")
@allow(SESSION)
@limited(Allowance.INTAKE)
def correct_asset(asset_id: UUID) -> ResponseReturnValue:
    """Say that it is gone, stands elsewhere, or is described wrongly, with a photo if need be."""
    now, person_id = utc_now(), current_person_id()
    what = _CORRECTIONS.get(request.form.get("what", ""))
    if what is None:
        raise NotFoundError
    try:
        proposal = Proposal(
            what,
            asset_id=asset_id,
            point=_point() if what is What.MOVED else None,
            attributes=_attribute() if what is What.ATTRIBUTE else {},
            note=_note(),
        )
        staged = _staged()
        with transaction() as session:
            made = proposing.propose(session, person_id, proposal, now=now)
            if not made.is_joined:
                made.correction.photo_id = photos.insert(
                    session,
                    staged,
                    person_id=person_id,
                    jurisdiction_id=made.correction.jurisdiction_id,
                    now=now,
                )
    except (NotFoundError, NotSignedInError):
        raise
    except DomainError as error:
        return show(asset_id, fault=error.code, status=error.status)
    finally:
        # Large uploads lie in temporary files; they go now.
        request.close()
    return _back(asset_id, "confirmed" if made.is_joined else "proposed")


def _back(asset_id: UUID, done: str) -> ResponseReturnValue:
    # Without a language the address has none.
    lang = request.args.get("lang") or None
    return redirect(url_for("web.asset", asset_id=asset_id, done=done, lang=lang), 303)


def _note() -> str | None:
    note = request.form.get("note", "")
    if len(note) > MAX_NOTE:
        raise InvalidError("That is too long.", field="note")
    return note or None


def _attribute() -> dict[str, str | None]:
    code = request.form.get("attribute", "")
    if not code or len(code) > MAX_NOTE:
        raise InvalidError("Say which.", field="attribute")
    value = request.form.get("value", "").strip()
    if len(value) > MAX_NOTE:
        raise InvalidError("That is too long.", field="value")
    return {code: value or None}


def _point() -> Point:
    """Where it is said to be: degrees, with a point or a comma."""
    try:
        lat, lon = (float(request.form.get(name, "").replace(",", ".")) for name in ("lat", "lon"))
    except ValueError:
        raise InvalidError("Say where it is.", field="lat") from None
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise InvalidError("Say where it is.", field="lat")
    return Point(lat, lon)


def _staged() -> list[StagedPhoto]:
    files = [file for file in request.files.getlist("photos") if file.filename]
    checked = check_photos([file.stream for file in files[:1]])
    return list(stage(current_app.extensions["storage"], checked)) if checked else []
