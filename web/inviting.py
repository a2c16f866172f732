"""Accepting a role that was offered by e-mail: the link shows the offer, a button takes it.

Whoever has no password yet may choose one, or go on signing in by links. Whoever has a second
factor is asked for it here; until it is right, the invitation stays open.
"""

from __future__ import annotations

from uuid import UUID

from flask import Response, current_app, request, url_for
from flask.typing import ResponseReturnValue

from accounts import browsers, cookies, people, signing_in
from accounts.access import TOKEN, allow
from accounts.errors import (
    HasPasswordError,
    LockedError,
    OneTimePasswordNeededError,
    WeakPasswordError,
)
from accounts.me.schemas import MeIn
from accounts.models import SignInWay
from accounts.rules import PASSWORD_MAX
from accounts.staff import invitations
from core.api import PayloadError, load
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import InvalidError
from core.i18n import pick
from core.limits import Allowance, limited
from geo import jurisdictions
from web.pages import GoneError, blueprint, page, reader_language
from web.signing_in import end_previous, entered

_CODE_MAX = 40


@blueprint.get("/invitations/<uuid:invitation_id>/<token>")
@allow(TOKEN)
def invitation(invitation_id: UUID, token: str) -> ResponseReturnValue:
    """What is offered, to whom, and by which city."""
    return _show(invitation_id, token)


@blueprint.post("/invitations/<uuid:invitation_id>/<token>")
@allow(TOKEN)
@limited(Allowance.SIGN_IN)
def accept_invitation(invitation_id: UUID, token: str) -> ResponseReturnValue:
    """Take the role, and be signed in."""
    cookies.check_origin()
    now = utc_now()
    otp = request.form.get("otp", "")[:_CODE_MAX] or None
    try:
        name = load(MeIn(only=["name"]), {"name": request.form.get("name") or None})["name"]
        with transaction() as session:
            opened = signing_in.sign_in(
                session,
                current_app.config["SECRET_KEY"],
                lambda: invitations.accept(
                    session,
                    current_app.config["SECRET_KEY"],
                    invitation_id,
                    token,
                    password=request.form.get("password", "")[: 4 * PASSWORD_MAX] or None,
                    name=name,
                    now=now,
                ),
                way=SignInWay.INVITATION,
                otp=otp,
                is_browser=True,
                agent=browsers.kind_of(request.user_agent.string),
                now=now,
            )
            if opened is not None:
                end_previous(session, now)
    except OneTimePasswordNeededError:
        return _show(invitation_id, token, needs_otp=True)
    except LockedError as error:
        wait_s = error.extra["retry_after"]
        return _show(invitation_id, token, status=429, needs_otp=True, wait_s=wait_s)
    except WeakPasswordError as error:
        return _show(
            invitation_id, token, status=422, fault=f"password.weak_{error.extra['reason']}"
        )
    except PayloadError:
        return _show(invitation_id, token, status=422, fault="account.refused.invalid_name")
    except HasPasswordError as error:
        return _show(invitation_id, token, status=error.status, fault="invitation.has_password")
    except InvalidError:
        return _show(invitation_id, token, status=422, fault="account.refused.other")
    if opened is None:
        # The link is worth nothing, which is said; or the code was wrong, and the link still is.
        return _show(
            invitation_id, token, status=401, needs_otp=True, fault="account.refused.wrong_code"
        )
    return entered(opened, url_for("web.account", lang=request.args.get("lang")), now=now)


def _show(
    invitation_id: UUID,
    token: str,
    *,
    status: int = 200,
    needs_otp: bool = False,
    fault: str | None = None,
    wait_s: int | None = None,
) -> Response:
    with reading() as session:
        shown = invitations.look(
            session, current_app.config["SECRET_KEY"], invitation_id, token, now=utc_now()
        )
        if shown is None:
            raise GoneError
        offer = shown.offer
        lang = reader_language(offer.locale)
        place = jurisdictions.by_code(session, offer.jurisdiction)
        team = None
        if offer.team is not None:
            names = people.find_team(session, place.id, offer.team).names
            team = pick(names, lang, place.default_locale)
        answer = page(
            "invitation.html",
            status=status,
            locale=offer.locale,
            is_private=True,
            opens_session=True,
            offer=offer,
            has_password=shown.has_password,
            city=place.name(lang),
            team=team,
            zone=place.time_zone,
            needs_otp=needs_otp,
            fault=fault,
            wait_s=wait_s,
            name=request.form.get("name", offer.name or ""),
        )
    if wait_s is not None:
        answer.headers["Retry-After"] = str(wait_s)
    return answer
