"""The page behind a mailed sign-in link. Opening it uses nothing up; its button does."""

from __future__ import annotations

from uuid import UUID

from flask import current_app, request
from flask.typing import ResponseReturnValue

from accounts import browsers, challenges, signing_in
from accounts.access import TOKEN, allow
from accounts.models import SignInWay
from core.clock import utc_now
from core.db import transaction
from core.limits import Allowance, limited
from web.pages import GoneError, blueprint, page


@blueprint.get("/sign-in/<uuid:challenge_id>/<token>")
@allow(TOKEN)
def sign_in(challenge_id: UUID, token: str) -> ResponseReturnValue:  # noqa: ARG001
    """One button. Whether the link is still good is seen when it is pressed, and counted then."""
    return page("sign_in.html", is_private=True, opened=None)


@blueprint.post("/sign-in/<uuid:challenge_id>/<token>")
@allow(TOKEN)
@limited(Allowance.SIGN_IN)
def signed_in(challenge_id: UUID, token: str) -> ResponseReturnValue:
    """Open a session and show its token, once, for the app that asked for the link."""
    now = utc_now()
    opened = None
    with transaction() as session:
        secret = current_app.config["SECRET_KEY"]
        person = challenges.answer_link(session, secret, challenge_id, token, now=now)
        if person is not None:
            opened = signing_in.open_session(
                session,
                person.id,
                way=SignInWay.LINK,
                has_second_factor=False,
                agent=browsers.kind_of(request.user_agent.string),
                now=now,
            )
    # Raised after the commit: a wrong answer must count.
    if opened is None:
        raise GoneError
    return page("sign_in.html", is_private=True, opened=opened)
