"""What people do with their own account: name, language, display, and how they are reached."""

from __future__ import annotations

from typing import Any

from flask import current_app, request
from flask_smorest import Blueprint

from accounts import people
from accounts.access import SESSION, SIGNED_IN, allow, current_actor
from accounts.contact_rules import ContactKind
from accounts.errors import ContactProofFailedError, ContactTakenError
from accounts.me import contacts, profiles
from accounts.me.contacts import Belongings, Proof
from accounts.me.schemas import ContactAskedOut, MeIn, NewContactIn, ProofIn
from accounts.models import Person
from accounts.naming import public_name
from accounts.rules import CHALLENGE_LIFETIME, PERMISSIONS, Display
from accounts.schemas import MeOut
from accounts.views import default_jurisdiction
from core.api import keep_nowhere
from core.clock import utc_now
from core.db import reading, transaction
from core.i18n import asked_for
from core.limits import Allowance, limited

blueprint = Blueprint(
    "me", __name__, description="Your own account: name, display, contacts, reports, following."
)


blueprint.after_request(keep_nowhere)


@blueprint.route("/me", methods=["GET"])
@allow(SIGNED_IN)
@blueprint.response(200, MeOut)
def me() -> dict[str, Any]:
    """Who the caller is, and what they may do where."""
    actor = current_actor()
    with reading() as session:
        return _document(session, session.get_one(Person, actor.person_id))


@blueprint.route("/me", methods=["PATCH"])
@allow(SESSION)
@blueprint.arguments(MeIn)
@blueprint.response(200, MeOut)
def change_me(sent: dict[str, Any]) -> dict[str, Any]:
    """Change one's name, language, or how much of the name everybody sees."""
    actor = current_actor()
    assert actor.person_id is not None
    with transaction() as session:
        return _document(session, profiles.change(session, actor.person_id, sent))


@blueprint.route("/me/contacts", methods=["POST"])
@allow(SESSION)
@limited(Allowance.SIGN_IN_LINK)
@blueprint.arguments(NewContactIn)
@blueprint.response(202, ContactAskedOut)
@blueprint.alt_response(409, description="It is the caller's already.")
@blueprint.alt_response(429, description="Too many codes were asked for in an hour.")
def ask_for_contact(sent: dict[str, Any]) -> dict[str, Any]:
    """Have a code sent to a new address or number, and word of it to the old ones.

    The answer is the same whether or not somebody else has that contact.
    """
    with transaction() as session:
        place = contacts.place_of(session, sent.get("jurisdiction"), default_jurisdiction())
        challenge_id = contacts.ask(
            session,
            current_actor(),
            contacts.named(sent, place, is_texted=True),
            place=place,
            locale=asked_for(request.accept_languages),
            now=utc_now(),
        )
    return {
        "challenge": challenge_id,
        "expires_in_s": int(CHALLENGE_LIFETIME.total_seconds()),
    }


@blueprint.route("/me/contacts/proof", methods=["POST"])
@allow(SESSION)
@limited(Allowance.SIGN_IN)
@blueprint.arguments(ProofIn)
@blueprint.response(200, MeOut)
@blueprint.alt_response(409, description="It was proved, and is another account's.")
def prove_contact(sent: dict[str, Any]) -> dict[str, Any]:
    """Make the new contact one's own, in place of the one of its kind, with the code sent there."""
    actor = current_actor()
    with transaction() as session:
        proof = contacts.prove(
            session,
            current_app.config["SECRET_KEY"],
            actor,
            sent["challenge"],
            sent["code"],
            belongings=_belongings(),
            now=utc_now(),
        )
        if proof is Proof.DONE:
            return _document(session, session.get_one(Person, actor.person_id))
    # Only now: what a wrong or vain code changed must be committed.
    raise ContactTakenError if proof is Proof.TAKEN else ContactProofFailedError(field="code")


@blueprint.route("/me/contacts/email", methods=["DELETE"])
@allow(SESSION)
@blueprint.response(204)
@blueprint.alt_response(404, description="There is none.")
@blueprint.alt_response(409, description="It is the last, or the e-mail address of staff.")
def give_up_email() -> None:
    """Be reached by e-mail no more."""
    _give_up(ContactKind.EMAIL)


@blueprint.route("/me/contacts/phone", methods=["DELETE"])
@allow(SESSION)
@blueprint.response(204)
@blueprint.alt_response(404, description="There is none.")
@blueprint.alt_response(409, description="It is the last.")
def give_up_phone() -> None:
    """Be reached by text no more."""
    _give_up(ContactKind.PHONE)


def _give_up(kind: ContactKind) -> None:
    with transaction() as session:
        contacts.give_up(session, current_actor(), kind, belongings=_belongings(), now=utc_now())


def _belongings() -> Belongings:
    bound: Belongings = current_app.extensions["belongings"]
    return bound


def _document(session: Any, person: Person) -> dict[str, Any]:
    actor = current_actor()
    return {
        "id": person.id,
        "email": person.email,
        "phone": person.phone,
        "name": person.name,
        "locale": person.locale,
        "display": Display(person.display),
        "public_name": public_name(person.name, Display(person.display)),
        "known_by": "session" if actor.session_id is not None else "api_key",
        "is_staff": actor.is_staff,
        "roles": [
            {
                "role": held.role,
                "jurisdiction": held.jurisdiction,
                "team": held.team,
                "permissions": sorted(PERMISSIONS[held.role]),
            }
            for held in people.roles_of(session, person.id)
        ],
    }
