"""Signing in and out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import current_app, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import browsers, challenges, signing_in
from accounts.access import EVERYONE, SIGNED_IN, allow, current_actor
from accounts.errors import (
    NotASessionError,
    ProofFailedError,
    SignInFailedError,
)
from accounts.me import contacts
from accounts.models import Person, SignInWay
from accounts.rules import CHALLENGE_LIFETIME
from accounts.schemas import LinkIn, LinkOut, SessionOut, SignInIn
from core.api import keep_nowhere
from core.clock import utc_now
from core.db import transaction
from core.i18n import asked_for
from core.limits import Allowance, limited

blueprint = Blueprint("accounts", __name__, description="Sign in and out; who the caller is.")


blueprint.after_request(keep_nowhere)


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
    now = utc_now()
    with transaction() as session:
        opened = signing_in.sign_in(
            session,
            current_app.config["SECRET_KEY"],
            lambda: _prove(session, sent, now),
            way=_way(sent),
            otp=sent.get("otp"),
            agent=browsers.kind_of(request.user_agent.string),
            now=now,
        )
        if opened is not None:
            return opened
    # Only now: a wrong code counts, and an error inside the transaction would undo the count.
    raise SignInFailedError if "password" in sent else ProofFailedError


@blueprint.route("/sessions/link", methods=["POST"])
@allow(EVERYONE)
@limited(Allowance.SIGN_IN_LINK)
@blueprint.arguments(LinkIn)
@blueprint.response(202, LinkOut)
def ask_for_link(sent: dict[str, Any]) -> dict[str, int]:
    """Have a sign-in link and a six-digit code sent to an e-mail address or by text.

    The answer is the same whether or not the address or number is known.
    """
    with transaction() as session:
        place = contacts.place_of(session, sent.get("jurisdiction"), default_jurisdiction())
        challenges.ask(
            session,
            contacts.named(sent, place, is_texted=True),
            jurisdiction_id=place.id if place else None,
            locale=asked_for(request.accept_languages),
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


def _prove(session: Session, sent: dict[str, Any], now: datetime) -> Person | None:
    """The person who sent this, if it proves who they are."""
    secret = current_app.config["SECRET_KEY"]
    if "token" in sent:
        person = challenges.answer_link(session, secret, sent["challenge"], sent["token"], now=now)
    elif "code" in sent:
        place = contacts.place_of(session, sent.get("jurisdiction"), default_jurisdiction())
        contact = contacts.named(sent, place)
        person = challenges.answer_code(session, secret, contact, sent["code"], now=now)
    else:
        return signing_in.prove_password(session, secret, sent["email"], sent["password"], now=now)
    if person is not None:
        contacts.claim_all(session, person, current_app.extensions["belongings"])
    return person


def _way(sent: dict[str, Any]) -> SignInWay:
    if "token" in sent:
        return SignInWay.LINK
    return SignInWay.CODE if "code" in sent else SignInWay.PASSWORD


def default_jurisdiction() -> str | None:
    """The city that is meant where none is named."""
    code: str | None = current_app.config["DEFAULT_JURISDICTION"]
    return code
