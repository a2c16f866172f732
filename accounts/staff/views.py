"""A city's administrators see its people, give and take roles, and invite by e-mail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from flask import current_app, request
from flask_smorest import Blueprint

from accounts import audit, browsers, signing_in
from accounts.access import TOKEN, allow, current_actor, permission
from accounts.errors import ProofFailedError
from accounts.models import SignInWay
from accounts.rules import Permission
from accounts.schemas import SessionOut
from accounts.staff import administration, invitations
from accounts.staff.administration import Seen
from accounts.staff.invitations import Offer
from accounts.staff.schemas import (
    AcceptanceIn,
    InvitationIn,
    InvitationOut,
    InvitationsOut,
    PagedQuery,
    PeopleOut,
    PersonOut,
    PlacedRoleIn,
    after_of,
)
from core import pagination
from core.api import keep_nowhere
from core.clock import utc_now
from core.db import transaction
from core.limits import Allowance, limited

blueprint = Blueprint("people", __name__, description="People of a city, their roles, invitations.")

_MANAGE = permission(Permission.MANAGE_PEOPLE)


blueprint.after_request(keep_nowhere)


@blueprint.route("/people", methods=["GET"])
@allow(_MANAGE)
@blueprint.arguments(PagedQuery, location="query")
@blueprint.response(200, PeopleOut)
def list_people(query: dict[str, Any]) -> dict[str, Any]:
    """Those who hold a role where you manage people, with those roles."""
    after, limit = after_of(query), query["limit"]
    actor = current_actor()
    with transaction() as session:
        found = administration.list_people(session, actor, after=after, limit=limit + 1)
        audit.record(
            session,
            actor,
            audit.Action.CONTACT_READ,
            audit.Subject("people", "list"),
            now=utc_now(),
            data={"people": [str(person.id) for person in found[:limit]]},
        )
    return _page(found, limit)


@blueprint.route("/people/<uuid:person_id>", methods=["GET"])
@allow(_MANAGE)
@blueprint.response(200, PersonOut)
def person(person_id: UUID) -> Seen:
    """One of them."""
    actor = current_actor()
    with transaction() as session:
        found = administration.find(session, actor, person_id)
        audit.record(
            session,
            actor,
            audit.Action.CONTACT_READ,
            audit.Subject("person", person_id),
            now=utc_now(),
        )
        return found


@blueprint.route("/people/<uuid:person_id>/roles", methods=["POST"])
@allow(_MANAGE)
@blueprint.arguments(PlacedRoleIn)
@blueprint.response(201, PersonOut)
@blueprint.alt_response(409, description="The person has that role there already")
def give_role(sent: dict[str, Any], person_id: UUID) -> Seen:
    """Give a further role, no wider than your own, where you manage people."""
    actor = current_actor()
    with transaction() as session:
        place = administration.place_of(session, actor, sent.get("jurisdiction"), sent.get("team"))
        administration.give_role(session, actor, person_id, sent["role"], place, now=utc_now())
        return administration.find(session, actor, person_id)


@blueprint.route(
    "/people/<uuid:person_id>/roles/<int(max=2147483647):grant_id>", methods=["DELETE"]
)
@allow(_MANAGE)
@blueprint.response(204)
@blueprint.alt_response(409, description="The city's last administrator")
def take_role(person_id: UUID, grant_id: int) -> None:
    """Take a role away; it counts no more from the next request on."""
    with transaction() as session:
        administration.take_role(session, current_actor(), person_id, grant_id, now=utc_now())


@blueprint.route("/people/<uuid:person_id>/deactivation", methods=["POST"])
@allow(_MANAGE)
@blueprint.response(200, PersonOut)
@blueprint.alt_response(409, description="Yourself, the last administrator, or works elsewhere too")
def deactivate(person_id: UUID) -> Seen:
    """Shut somebody out: sessions and keys end at once, signing in is refused."""
    actor = current_actor()
    with transaction() as session:
        administration.deactivate(session, actor, person_id, now=utc_now())
        return administration.find(session, actor, person_id)


@blueprint.route("/people/<uuid:person_id>/reactivation", methods=["POST"])
@allow(_MANAGE)
@blueprint.response(200, PersonOut)
@blueprint.alt_response(409, description="Yourself, or works elsewhere too")
def reactivate(person_id: UUID) -> Seen:
    """Let somebody in again; sessions and keys stay ended."""
    actor = current_actor()
    with transaction() as session:
        administration.reactivate(session, actor, person_id, now=utc_now())
        return administration.find(session, actor, person_id)


@blueprint.route("/people/<uuid:person_id>/second-factor", methods=["DELETE"])
@allow(_MANAGE)
@blueprint.response(204)
@blueprint.alt_response(409, description="Yourself, or works elsewhere too")
def reset_second_factor(person_id: UUID) -> None:
    """Take the second factor off the account of somebody who lost it; their sessions end."""
    with transaction() as session:
        administration.reset_second_factor(session, current_actor(), person_id, now=utc_now())


@blueprint.route("/invitations", methods=["GET"])
@allow(_MANAGE)
@blueprint.arguments(PagedQuery, location="query")
@blueprint.response(200, InvitationsOut)
def list_invitations(query: dict[str, Any]) -> dict[str, Any]:
    """The open invitations where you manage people."""
    after, limit = after_of(query), query["limit"]
    actor, now = current_actor(), utc_now()
    with transaction() as session:
        found = invitations.open_ones(session, actor, after=after, limit=limit + 1, now=now)
        audit.record(
            session,
            actor,
            audit.Action.CONTACT_READ,
            audit.Subject("invitations", "list"),
            now=now,
            data={"invitations": [str(offer.id) for offer in found[:limit]]},
        )
    return _page(found, limit)


@blueprint.route("/invitations", methods=["POST"])
@allow(_MANAGE)
@blueprint.arguments(InvitationIn)
@blueprint.response(201, InvitationOut)
@blueprint.alt_response(409, description="Has that role already, or is invited already")
def invite(sent: dict[str, Any]) -> Offer:
    """Offer a role by e-mail, no wider than your own. The link is good for a week."""
    actor = current_actor()
    with transaction() as session:
        place = administration.place_of(session, actor, sent.get("jurisdiction"), sent.get("team"))
        return invitations.invite(
            session,
            actor,
            sent["email"],
            sent["role"],
            place,
            name=sent.get("name"),
            locale=sent["locale"],
            now=utc_now(),
        )


@blueprint.route("/invitations/<uuid:invitation_id>/resending", methods=["POST"])
@allow(_MANAGE)
@blueprint.response(200, InvitationOut)
def send_again(invitation_id: UUID) -> Offer:
    """Send the letter again with a new link; the one before is worth nothing."""
    with transaction() as session:
        return invitations.send_again(session, current_actor(), invitation_id, now=utc_now())


@blueprint.route("/invitations/<uuid:invitation_id>", methods=["DELETE"])
@allow(_MANAGE)
@blueprint.response(204)
def revoke_invitation(invitation_id: UUID) -> None:
    """Take an offer back; its link is worth nothing."""
    with transaction() as session:
        invitations.revoke(session, current_actor(), invitation_id, now=utc_now())


@blueprint.route("/invitations/<uuid:invitation_id>/acceptance", methods=["POST"])
@allow(TOKEN)
@limited(Allowance.SIGN_IN)
@blueprint.arguments(AcceptanceIn)
@blueprint.response(201, SessionOut)
@blueprint.alt_response(401, description="Wrong, used, revoked or too old; or `otp` is needed")
@blueprint.alt_response(409, description="A password was sent for an account that has one")
@blueprint.alt_response(429, description="Too many wrong codes; `Retry-After` says how long")
def accept(sent: dict[str, Any], invitation_id: UUID) -> signing_in.Opened:
    """Accept an invitation: the account is made, the role is yours, and a session is open."""
    now = utc_now()
    secret = current_app.config["SECRET_KEY"]
    with transaction() as session:
        opened = signing_in.sign_in(
            session,
            secret,
            lambda: invitations.accept(
                session,
                secret,
                invitation_id,
                sent["token"],
                password=sent["password"],
                name=sent["name"],
                now=now,
            ),
            way=SignInWay.INVITATION,
            otp=sent["otp"],
            agent=browsers.kind_of(request.user_agent.string),
            now=now,
        )
    # Only now: a wrong code counts, and an error inside the transaction would undo the count.
    if opened is None:
        raise ProofFailedError
    return opened


def _page(found: Sequence[Seen] | Sequence[Offer], limit: int) -> dict[str, Any]:
    more = pagination.pack(str(found[limit - 1].id)) if len(found) > limit else None
    return {"items": found[:limit], "next": more}
