"""How somebody signs in: their sessions, password, second factor and keys.

What changes any of it takes a session: a key, which a program holds, does not do. Answers that
show a secret are given once, so no `Idempotency-Key` has them kept.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import current_app
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import audit, keys, second_factor, sessions, signing_in
from accounts.access import SESSION, allow, current_actor
from accounts.errors import SecondFactorOffError, WrongCodeError, WrongPasswordError
from accounts.models import ApiKey, Person
from accounts.security_schemas import (
    CodeIn,
    EndedOut,
    FreshProofIn,
    HeldSessionsOut,
    KeyIn,
    KeysOut,
    MadeKeyOut,
    PasswordIn,
    ProofAgainIn,
    RecoveryCodesOut,
    SecondFactorOut,
    SetupOut,
)
from core.api import keep_nowhere
from core.clock import utc_now
from core.db import reading, transaction
from core.limits import Allowance, limited

blueprint = Blueprint(
    "security", __name__, description="Your sessions, password, second factor and keys."
)


blueprint.after_request(keep_nowhere)


@blueprint.route("/sessions", methods=["GET"])
@allow(SESSION)
@blueprint.response(200, HeldSessionsOut)
def own_sessions() -> dict[str, Any]:
    """Your open sessions, the newest first."""
    with reading() as session:
        held = sessions.of_person(session, current_actor(), now=utc_now())
    return {"items": held, "next": None}


@blueprint.route("/sessions", methods=["DELETE"])
@allow(SESSION)
@blueprint.response(200, EndedOut)
def end_other_sessions() -> dict[str, int]:
    """End all your sessions but this one."""
    with transaction() as session:
        return {"ended": sessions.end_others(session, current_actor(), now=utc_now())}


@blueprint.route("/sessions/<uuid:session_id>", methods=["DELETE"])
@allow(SESSION)
@blueprint.response(204)
def end_session(session_id: UUID) -> None:
    """End one of your sessions."""
    with transaction() as session:
        sessions.end(session, current_actor(), session_id, now=utc_now())


@blueprint.route("/me/password", methods=["POST"])
@allow(SESSION)
@limited(Allowance.SIGN_IN)
@blueprint.arguments(PasswordIn)
@blueprint.response(204)
@blueprint.alt_response(429, description="Too many wrong passwords; `Retry-After` says how long")
def change_password(sent: dict[str, Any]) -> None:
    """Change your password, or set a first one; your other sessions end.

    `current` is needed where there is a password already; not if you forgot it, signed in by link
    or code instead, and come within 15 minutes.
    """
    with transaction() as session:
        is_changed = signing_in.change_password(
            session,
            _secret(),
            current_actor(),
            current=sent.get("current"),
            new=sent["new"],
            now=utc_now(),
        )
    # Only now: the failure counts, and an error inside the transaction would undo the count.
    if not is_changed:
        raise WrongPasswordError(field="current")


@blueprint.route("/me/second-factor", methods=["GET"])
@allow(SESSION)
@blueprint.response(200, SecondFactorOut)
def own_second_factor() -> dict[str, Any]:
    """Whether a second factor is set up, and whether a city demands one of you."""
    actor = current_actor()
    assert actor.person_id is not None
    with reading() as session:
        state = second_factor.state(session, actor.person_id)
    return {
        "is_on": state.is_on,
        "confirmed_at": state.confirmed_at,
        "recovery_codes_left": state.recovery_codes_left,
        "is_needed": actor.is_second_factor_needed,
    }


@blueprint.route("/me/second-factor", methods=["POST"])
@allow(SESSION)
@limited(Allowance.SIGN_IN)
@blueprint.arguments(FreshProofIn)
@blueprint.response(201, SetupOut)
@blueprint.alt_response(403, description="`fresh_proof_needed`: send the password")
@blueprint.alt_response(409, description="One is set up already")
@blueprint.alt_response(429, description="Too many wrong passwords; `Retry-After` says how long")
def start_second_factor(sent: dict[str, Any]) -> second_factor.Setup:
    """A secret for an authenticator app; in force once a first code is confirmed.

    With your password; without, where the session was opened by link, code or the city's provider
    in the last 15 minutes.
    """
    actor, now = current_actor(), utc_now()
    assert actor.person_id is not None
    with transaction() as session:
        if signing_in.prove_freshly(
            session, _secret(), actor, password=sent.get("password"), now=now
        ):
            return second_factor.start(session, _secret(), actor.person_id, now)
    # Only now: the failure counts, and an error inside the transaction would undo the count.
    raise WrongPasswordError(field="password")


@blueprint.route("/me/second-factor/confirmation", methods=["POST"])
@allow(SESSION)
@limited(Allowance.SIGN_IN)
@blueprint.arguments(CodeIn)
@blueprint.response(200, RecoveryCodesOut)
@blueprint.alt_response(409, description="One is set up already")
def confirm_second_factor(sent: dict[str, Any]) -> dict[str, Any]:
    """Put the second factor in force with a first code of the app.

    The answer shows the recovery codes, once. Your other sessions end.
    """
    actor = current_actor()
    assert actor.person_id is not None
    now = utc_now()
    with transaction() as session:
        codes = second_factor.confirm(
            session,
            _secret(),
            actor.person_id,
            sent["code"],
            now,
            session_id=actor.session_id,
        )
        if codes is None:
            raise WrongCodeError(field="code")
        _enter(session, "on")
    return {"recovery_codes": codes}


@blueprint.route("/me/second-factor", methods=["DELETE"])
@allow(SESSION)
@limited(Allowance.SIGN_IN)
@blueprint.arguments(ProofAgainIn)
@blueprint.response(204)
@blueprint.alt_response(429, description="Too many wrong ones; `Retry-After` says how long")
def turn_off_second_factor(sent: dict[str, Any]) -> None:
    """Turn your second factor off, with your password or a code."""
    with transaction() as session:
        is_shown = _shows_again(session, sent)
        if is_shown:
            person_id = current_actor().person_id
            assert person_id is not None
            second_factor.turn_off(session, person_id)
            _enter(session, "off")
    if not is_shown:
        raise _refusal(sent)


@blueprint.route("/me/second-factor/recovery-codes", methods=["POST"])
@allow(SESSION)
@limited(Allowance.SIGN_IN)
@blueprint.arguments(ProofAgainIn)
@blueprint.response(200, RecoveryCodesOut)
@blueprint.alt_response(429, description="Too many wrong ones; `Retry-After` says how long")
def renew_recovery_codes(sent: dict[str, Any]) -> dict[str, Any]:
    """Ten new recovery codes, shown once; those of before are worth nothing."""
    codes: list[str] = []
    with transaction() as session:
        is_shown = _shows_again(session, sent)
        if is_shown:
            person_id = current_actor().person_id
            assert person_id is not None
            codes = second_factor.renew_recovery_codes(session, _secret(), person_id)
            _enter(session, "recovery_codes")
    if not is_shown:
        raise _refusal(sent)
    return {"recovery_codes": codes}


@blueprint.route("/keys", methods=["GET"])
@allow(SESSION)
@blueprint.response(200, KeysOut)
def own_keys() -> dict[str, Any]:
    """Your valid keys, the newest first; the keys themselves are shown by nobody."""
    with reading() as session:
        rows = keys.of_person(session, current_actor().person_id, now=utc_now())
        return {"items": [_key(row) for row in rows], "next": None}


@blueprint.route("/keys", methods=["POST"])
@allow(SESSION)
@blueprint.arguments(KeyIn)
@blueprint.response(201, MadeKeyOut)
@blueprint.alt_response(403, description="A scope is a permission that you do not hold")
@blueprint.alt_response(409, description="You have as many keys as you may have")
def make_key(sent: dict[str, Any]) -> dict[str, Any]:
    """A key for a program that acts as you. The answer shows it, once."""
    now = utc_now()
    with transaction() as session:
        made = keys.create_own(
            session,
            current_actor(),
            sent["name"].strip(),
            scopes=sent["scopes"],
            expires_at=now + timedelta(days=sent["expires_in_days"]),
            now=now,
        )
        return {**_key(made.row), "key": made.key}


@blueprint.route("/keys/<uuid:key_id>", methods=["DELETE"])
@allow(SESSION)
@blueprint.response(204)
def revoke_key(key_id: UUID) -> None:
    """End one of your keys at once."""
    with transaction() as session:
        keys.revoke(session, current_actor(), key_id, now=utc_now())


def _shows_again(session: Session, sent: dict[str, Any]) -> bool:
    """Whether the caller has shown once more who they are; a wrong proof is counted."""
    person = session.get_one(Person, current_actor().person_id)
    if not second_factor.is_on(session, person.id):
        raise SecondFactorOffError
    return signing_in.prove_again(
        session,
        _secret(),
        person,
        password=sent.get("password"),
        otp=sent.get("code"),
        now=utc_now(),
    )


def _refusal(sent: dict[str, Any]) -> WrongCodeError | WrongPasswordError:
    if "code" in sent:
        return WrongCodeError(field="code")
    return WrongPasswordError(field="password")


def _enter(session: Session, change: str) -> None:
    actor = current_actor()
    assert actor.person_id is not None
    audit.record(
        session,
        actor,
        audit.Action.SECOND_FACTOR_CHANGED,
        audit.Subject("person", actor.person_id),
        now=utc_now(),
        data={"change": change},
    )


def _key(row: ApiKey) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "scopes": row.scopes,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
    }


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret
