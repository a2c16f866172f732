"""One's own data: all of it as a file, or its end."""

from __future__ import annotations

import tempfile
from typing import Any
from uuid import UUID

from flask import Response, current_app, send_file
from flask_smorest import Blueprint

from accounts import people, people_data, signing_in
from accounts.access import SESSION, allow, current_actor
from accounts.errors import WrongPasswordError
from accounts.security_schemas import FreshProofIn
from core.clock import utc_now
from core.db import transaction
from core.errors import ConflictError
from core.limits import Allowance, limited
from workers import person_data

blueprint = Blueprint("person_data", __name__, description="Your own data: take it, or end it.")

#: An export of a few photos stays in memory; a larger one goes to a temporary file.
_IN_MEMORY = 8 * 1024 * 1024


class StaffAccountError(ConflictError):
    """Staff accounts are the city's to end."""

    code = "staff_account"
    title = "This account has a role: the city ends it, not its holder"


@blueprint.route("/me/export", methods=["GET"])
@allow(SESSION)
@limited(Allowance.SIGN_IN_LINK)
@blueprint.response(200, {"format": "binary", "type": "string"}, content_type="application/zip")
def export_me() -> Response:
    """Everything held on the caller, as one ZIP: a JSON file for each kind, and their photos."""
    me, now = _me(), utc_now()
    with transaction() as session:
        who = person_data.known(session, people_data.of_person(session, me))
        collected = person_data.collect(session, who, current_actor(), now=now)
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (sent, then closed)
    person_data.write_zip(file, collected, current_app.extensions["storage"], now=now)
    file.seek(0)
    response = send_file(
        file,
        mimetype="application/zip",
        as_attachment=True,
        download_name=f"riverain-{now.date().isoformat()}.zip",
    )
    response.call_on_close(file.close)
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route("/me", methods=["DELETE"])
@allow(SESSION)
@limited(Allowance.SIGN_IN_LINK)
@blueprint.arguments(FreshProofIn)
@blueprint.response(204)
@blueprint.alt_response(403, description="`fresh_proof_needed`: send the password")
@blueprint.alt_response(409, description="The account has a role: the city ends it")
@blueprint.alt_response(429, description="Too many wrong passwords; `Retry-After` says how long")
def erase_me(sent: dict[str, Any]) -> Response:
    """End the account at once, and erase the caller everywhere within minutes.

    Contacts and name go from every report and message; the reports stay, without them.
    With the password; without, where the session was opened by link or code in the last 15 minutes.
    """
    me, now = _me(), utc_now()
    secret = current_app.config["SECRET_KEY"]
    with transaction() as session:
        if people_data.is_staff(session, me):
            raise StaffAccountError
        is_shown = signing_in.prove_freshly(
            session, secret, current_actor(), password=sent.get("password"), now=now
        )
        if is_shown:
            people.close(session, me, now=now)
    # Only now: the failure counts, and an error inside the transaction would undo the count.
    if not is_shown:
        raise WrongPasswordError(field="password")
    return Response(status=204)


def _me() -> UUID:
    person_id = current_actor().person_id
    assert person_id is not None
    return person_id
