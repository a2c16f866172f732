"""Signing in and out, and who the caller is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, current_app, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import browsers, challenges, people, signing_in
from accounts.access import EVERYONE, SIGNED_IN, allow, current_actor
from accounts.errors import (
    NotASessionError,
    ProofFailedError,
    SecondFactorOffError,
    SignInFailedError,
)
from accounts.models import Person, SignInWay
from accounts.rules import CHALLENGE_LIFETIME, PERMISSIONS
from accounts.schemas import LinkIn, LinkOut, MeOut, SessionOut, SignInIn
from core.clock import utc_now
from core.db import reading, transaction
from core.i18n import LANGUAGES
from core.limits import Allowance, limited
from geo import jurisdictions
from geo.errors import JurisdictionNeededError, NoJurisdictionError

blueprint = Blueprint("accounts", __name__, description="Sign in and out; who the caller is.")


@blueprint.after_request
def _keep_nowhere(response: Response) -> Response:
    """Tokens and personal data stay out of every cache on the way."""
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route("/sessions", methods=["POST"])
@allow(EVERYONE)
@limited(Allowance.SIGN_IN)
@blueprint.arguments(SignInIn)
@blueprint.response(201, SessionOut)
@blueprint.alt_response(401, description="Wrong; which part is not said")
def sign_in(sent: dict[str, Any]) -> signing_in.Opened:
    """Open a session.

    With address and password, with the code that `POST sessions/link` had mailed, or with
    what the link in the same message carries. The first proof of an address creates the account.
    """
    if sent.get("otp"):
        raise SecondFactorOffError(field="otp")
    now = utc_now()
    with transaction() as session:
        person = _prove(session, sent, now)
        if person is not None:
            return signing_in.open_session(
                session,
                person.id,
                way=_way(sent),
                has_second_factor=False,
                agent=browsers.kind_of(request.user_agent.string),
                now=now,
            )
    # Only now: a wrong code counts, and an error inside the transaction would undo the count.
    raise SignInFailedError if "password" in sent else ProofFailedError


@blueprint.route("/sessions/link", methods=["POST"])
@allow(EVERYONE)
@limited(Allowance.SIGN_IN_LINK)
@blueprint.arguments(LinkIn)
@blueprint.response(202, LinkOut)
def ask_for_link(sent: dict[str, Any]) -> dict[str, int]:
    """Have a sign-in link and a six-digit code sent to an address.

    The answer is the same whether or not the address is known.
    """
    with transaction() as session:
        challenges.ask(
            session,
            sent["email"],
            jurisdiction_id=_jurisdiction(session, sent.get("jurisdiction")),
            locale=request.accept_languages.best_match(LANGUAGES),
            now=utc_now(),
        )
    return {"expires_in_s": int(CHALLENGE_LIFETIME.total_seconds())}


@blueprint.route("/sessions/current", methods=["DELETE"])
@allow(SIGNED_IN)
@blueprint.response(204)
@blueprint.alt_response(409, description="Known by a key, which has no session")
def sign_out() -> None:
    """End the session that this call is made with."""
    session_id = current_actor().session_id
    if session_id is None:
        raise NotASessionError
    with transaction() as session:
        signing_in.end_session(session, session_id, now=utc_now())


@blueprint.route("/me")
@allow(SIGNED_IN)
@blueprint.response(200, MeOut)
def me() -> dict[str, Any]:
    """Who the caller is, and what they may do where."""
    actor = current_actor()
    assert actor.person_id is not None
    with reading() as session:
        roles = people.roles_of(session, actor.person_id)
    return {
        "id": actor.person_id,
        "email": actor.email,
        "name": actor.name,
        "locale": actor.locale,
        "known_by": "session" if actor.session_id is not None else "api_key",
        "is_staff": actor.is_staff,
        "roles": [
            {
                "role": held.role,
                "jurisdiction": held.jurisdiction,
                "team": held.team,
                "permissions": sorted(PERMISSIONS[held.role]),
            }
            for held in roles
        ],
    }


def _prove(session: Session, sent: dict[str, Any], now: datetime) -> Person | None:
    """The person who sent this, if it proves who they are."""
    secret = current_app.config["SECRET_KEY"]
    if "token" in sent:
        return challenges.answer_link(session, secret, sent["challenge"], sent["token"], now=now)
    if "code" in sent:
        return challenges.answer_code(session, secret, sent["email"], sent["code"], now=now)
    return signing_in.check_password(session, sent["email"], sent["password"])


def _way(sent: dict[str, Any]) -> SignInWay:
    if "token" in sent:
        return SignInWay.LINK
    return SignInWay.CODE if "code" in sent else SignInWay.PASSWORD


def _jurisdiction(session: Session, code: str | None) -> int | None:
    """In whose name a message goes out; None when nothing says so."""
    default = current_app.config["DEFAULT_JURISDICTION"]
    try:
        return jurisdictions.resolve(session, code=code, default=default).id
    except (JurisdictionNeededError, NoJurisdictionError):
        return None
