"""The audit log for auditors, who are entered in it themselves."""

from __future__ import annotations

from typing import Any

from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import audit
from accounts.access import allow, current_actor, permission
from accounts.audit import Action, Subject
from accounts.audit import log as audit_log
from accounts.audit.log import Wanted
from accounts.audit.schemas import AuditListOut, AuditQuery
from accounts.rules import Permission
from core import pagination
from core.api import keep_nowhere
from core.clock import utc_now
from core.db import transaction
from core.errors import NotFoundError
from geo import jurisdictions

blueprint = Blueprint("audit", __name__, description="Who read personal data, who changed what.")

#: The largest id that the database can be asked about.
_MAX_ID = 2**63 - 1


blueprint.after_request(keep_nowhere)


@blueprint.route("/audit", methods=["GET"])
@allow(permission(Permission.READ_AUDIT))
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200, AuditListOut)
@blueprint.alt_response(404, description="The caller is no auditor there.")
def read_audit(query: dict[str, Any]) -> dict[str, Any]:
    """The audit log of the jurisdictions where one is an auditor: newest first.

    Reading it is itself entered in it, in the same transaction: without the entry no answer.
    """
    actor, limit = current_actor(), query["limit"]
    with transaction() as session:
        cities = _cities(session, query.get("jurisdiction"))
        wanted = Wanted(
            jurisdiction_ids=cities,
            actor_id=query.get("actor"),
            subject=audit_log.parse_subject(query.get("subject", "")),
            action=query["action"].value if "action" in query else None,
            since=query.get("since"),
            before=_before(query.get("cursor")),
        )
        rows = audit_log.entries(session, wanted, limit=limit + 1)
        shown = [_shown(session, row) for row in rows[:limit]]
        for city in cities:
            audit.record(
                session,
                actor,
                Action.AUDIT_READ,
                Subject("jurisdiction", city, city),
                now=utc_now(),
                data={"entries": sum(row.jurisdiction_id == city for row in rows[:limit])},
            )
    more = pagination.pack(rows[limit - 1].id) if len(rows) > limit else None
    return {"items": shown, "next": more}


def _cities(session: Session, code: str | None) -> list[int]:
    """Where the caller is an auditor; of a whole city, as entries know no team.

    Raises:
        NotFoundError: nowhere, or not in that one.
    """
    scope = current_actor().scope(Permission.READ_AUDIT)
    if code is None:
        found = sorted(scope.jurisdiction_ids)
    else:
        found = [
            place.id
            for place in jurisdictions.all_of_them(session)
            if place.code == code and place.id in scope.jurisdiction_ids
        ]
    if not found:
        raise NotFoundError
    return found


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    (last,) = pagination.unpack(cursor, 1)
    if not isinstance(last, int) or not 0 < last <= _MAX_ID:
        raise pagination.BadCursorError(field="cursor")
    return last


def _shown(session: Session, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": row.at,
        "action": row.action,
        "actor": {
            "kind": row.actor_kind,
            "id": row.actor_id,
            "name": row.actor_name,
            "api_key_id": row.api_key_id,
        },
        "subject": row.subject_kind and {"kind": row.subject_kind, "id": row.subject_id},
        "jurisdiction": jurisdictions.by_id(session, row.jurisdiction_id).code,
        "data": row.data,
        "is_sealed": row.seal_id is not None,
    }
