"""One's own data: all of it as a file, or its end."""

from __future__ import annotations

import tempfile
from uuid import UUID

from flask import Response, current_app, send_file
from flask_smorest import Blueprint

from accounts import people, people_data
from accounts.access import SESSION, allow, current_actor
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
@blueprint.response(204)
@blueprint.alt_response(409, description="The account has a role: the city ends it")
def erase_me() -> Response:
    """End the account at once, and erase the caller everywhere within minutes.

    Contacts and name go from every report and message; the reports stay, without them.
    """
    me = _me()
    with transaction() as session:
        if people_data.is_staff(session, me):
            raise StaffAccountError
        people.close(session, me, now=utc_now())
    return Response(status=204)


def _me() -> UUID:
    person_id = current_actor().person_id
    assert person_id is not None
    return person_id
