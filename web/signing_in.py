"""Signing in and out with a browser: password, mailed link or texted code, second factor.

1. A first proof: e-mail and password, the link of a message, or the code in it. Whoever has a
   second factor is then asked for it, on a page that holds a proof of the first step.
2. A session is opened for the browser, always a new one, and whatever the browser held ends. Its
   token goes into the cookie (`accounts.cookies`) and is shown to nobody.
3. `?next=` leads on, to a path of this site only.

Opening a mailed link uses nothing up; its button does, because mail scanners open links. With
`?for=app` the link shows a token for an app instead, and signs no browser in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import Response, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts import browsers, challenges, cookies, lockout, oidc, second_factor, signing_in
from accounts.access import EVERYONE, TOKEN, allow, current_actor
from accounts.contact_rules import ContactPoint
from accounts.destinations import local_path
from accounts.errors import LockedError
from accounts.me import contacts
from accounts.models import Person, SignInWay
from accounts.rules import EMAIL_MAX, PASSWORD_MAX, is_email, normal_email
from accounts.signing_in import Opened
from core.api import STORABLE
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import InvalidError
from core.limits import Allowance, limited
from core.tokens import Purpose, matches, token_for
from web.pages import GoneError, blueprint, page, reader_language

#: So long may somebody look for their telephone between the first proof and the second.
SECOND_STEP = timedelta(minutes=10)

#: What somebody may type as a code, with spaces and hyphens.
_CODE_MAX = 40


@dataclass(frozen=True, slots=True)
class Proved:
    """Somebody who gave a first proof."""

    person_id: UUID
    way: SignInWay


# -- the first proof ------------------------------------------------------------------------------


@blueprint.get("/sign-in")
@allow(EVERYONE)
def sign_in() -> ResponseReturnValue:
    """The ways to sign in; whoever is signed in already is led on."""
    if current_actor().is_browser:
        return redirect(_next() or url_for("web.account"), 303)
    return _form()


@blueprint.post("/sign-in")
@allow(EVERYONE)
@limited(Allowance.SIGN_IN)
def sign_in_with_password() -> ResponseReturnValue:
    """E-mail address and password."""
    cookies.check_origin()
    email = normal_email(request.form.get("email", "")[: EMAIL_MAX + 1])
    password = request.form.get("password", "")
    if not is_email(email) or not STORABLE.match(email):
        return _form(422, error="email", email=email)
    if len(password) > 4 * PASSWORD_MAX:
        return _form(401, error="wrong", email=email)
    now = utc_now()
    try:
        with transaction() as session:
            person = signing_in.prove_password(session, _secret(), email, password, now=now)
            if person is not None:
                outcome = _open(session, Proved(person.id, SignInWay.PASSWORD), now)
    except LockedError as error:
        return _locked(error, email=email)
    if person is None:
        return _form(401, error="wrong", email=email)
    return _entered(outcome, now)


@blueprint.route("/sign-in/link", methods=["GET", "POST"])
@allow(EVERYONE)
@limited(Allowance.SIGN_IN_LINK)
def send_link() -> ResponseReturnValue:
    """Have a link and a code sent; the answer does not tell whether the address is known."""
    if request.method == "GET":
        return _back()
    cookies.check_origin()
    now = utc_now()
    typed = _contact_typed()
    with transaction() as session:
        place = contacts.place_of(session, None, current_app.config["DEFAULT_JURISDICTION"])
        try:
            to = _contact(session, typed, is_texted=True)
        except InvalidError as error:
            return _form(422, error=_contact_fault(error), contact=typed)
        challenges.ask(
            session,
            to,
            jurisdiction_id=place.id if place is not None else None,
            locale=reader_language(),
            now=now,
        )
    return _code_form(typed)


@blueprint.route("/sign-in/code", methods=["GET", "POST"])
@allow(EVERYONE)
@limited(Allowance.SIGN_IN)
def sign_in_with_code() -> ResponseReturnValue:
    """The code of the message."""
    if request.method == "GET":
        return _back()
    cookies.check_origin()
    now = utc_now()
    typed = _contact_typed()
    code = request.form.get("code", "")[:_CODE_MAX]
    with transaction() as session:
        try:
            contact = _contact(session, typed)
        except InvalidError as error:
            return _form(422, error=_contact_fault(error), contact=typed)
        person = challenges.answer_code(session, _secret(), contact, code, now=now)
        if person is not None:
            outcome = _open_proved(session, person, SignInWay.CODE, now)
    if person is None:
        return _code_form(typed, status=401, error="code")
    return _entered(outcome, now)


@blueprint.get("/sign-in/<uuid:challenge_id>/<token>")
@allow(TOKEN)
def sign_in_by_link(challenge_id: UUID, token: str) -> ResponseReturnValue:
    """One button. Whether the link is still good is seen when it is pressed, and counted then."""
    return page(
        "sign_in_link.html",
        is_private=True,
        opens_session=True,
        challenge_id=challenge_id,
        token=token,
        opened=None,
        is_for_app=_is_for_app(),
    )


@blueprint.post("/sign-in/<uuid:challenge_id>/<token>")
@allow(TOKEN)
@limited(Allowance.SIGN_IN)
def signed_in_by_link(challenge_id: UUID, token: str) -> ResponseReturnValue:
    """Open a session for this browser, or for the app that the link was asked for."""
    cookies.check_origin()
    now = utc_now()
    with transaction() as session:
        person = challenges.answer_link(session, _secret(), challenge_id, token, now=now)
        if person is not None:
            outcome = _open_proved(session, person, SignInWay.LINK, now)
    # Raised after the commit: a wrong answer must count.
    if person is None:
        raise GoneError
    return _entered(outcome, now)


# -- the second -----------------------------------------------------------------------------------


@blueprint.route("/sign-in/second-factor", methods=["GET", "POST"])
@allow(EVERYONE)
@limited(Allowance.SIGN_IN)
def sign_in_with_second_factor() -> ResponseReturnValue:
    """The code of the authenticator app, or a recovery code."""
    if request.method == "GET":
        return _back()
    cookies.check_origin()
    now = utc_now()
    proved = _proved_before(now)
    if proved is None:
        return _form(401, error="expired")
    code = request.form.get("otp", "")[:_CODE_MAX]
    try:
        with transaction() as session:
            is_right = signing_in.show_second_factor(
                session, _secret(), proved.person_id, code, now=now
            )
            if is_right:
                opened = _opened(session, proved, now, has_second_factor=True)
            else:
                subject = lockout.second_factor_of(proved.person_id)
                lockout.failed(session, _secret(), subject, now)
    except LockedError as error:
        return _second(proved, now, status=429, wait_s=error.extra["retry_after"])
    if not is_right:
        return _second(proved, now, status=401, error="otp")
    return _entered(opened, now)


# -- the end --------------------------------------------------------------------------------------


@blueprint.route("/sign-out", methods=["GET", "POST"])
@allow(EVERYONE)
def sign_out() -> ResponseReturnValue:
    """End the browser's session and have the browser forget it."""
    if request.method == "GET":
        return redirect(url_for("web.account" if current_actor().is_browser else "web.home"), 303)
    actor = current_actor()
    if actor.is_browser and actor.session_id is not None:
        with transaction() as session:
            signing_in.end_session(session, actor.session_id, now=utc_now())
    answer = redirect(url_for("web.home", lang=request.args.get("lang")), 303)
    assert isinstance(answer, Response)
    cookies.drop(answer)
    return answer


# -- what they have in common ---------------------------------------------------------------------


def _open_proved(
    session: Session, person: Person, way: SignInWay, now: datetime
) -> Opened | Proved:
    """After the proof of a contact: what is kept under it is the person's."""
    contacts.claim_all(session, person, current_app.extensions["belongings"])
    return _open(session, Proved(person.id, way), now)


def _open(session: Session, proved: Proved, now: datetime) -> Opened | Proved:
    """The session of somebody, or what they proved if that is not enough to open one."""
    if second_factor.is_on(session, proved.person_id):
        return proved
    return _opened(session, proved, now, has_second_factor=False)


def _opened(session: Session, proved: Proved, now: datetime, *, has_second_factor: bool) -> Opened:
    end_previous(session, now)
    return signing_in.open_session(
        session,
        proved.person_id,
        way=proved.way,
        has_second_factor=has_second_factor,
        is_browser=not _is_for_app(),
        agent=browsers.kind_of(request.user_agent.string),
        now=now,
    )


def end_previous(session: Session, now: datetime) -> None:
    """End the session that this browser holds: whoever signs in gets another one."""
    actor = current_actor()
    if actor.is_browser and actor.session_id is not None:
        signing_in.end_session(session, actor.session_id, now=now)


def entered(opened: Opened, leads_to: str, *, now: datetime) -> Response:
    """Lead on, with the session in the browser's cookie."""
    answer = redirect(leads_to, 303)
    assert isinstance(answer, Response)
    cookies.keep(answer, opened, now=now)
    return answer


def _entered(outcome: Opened | Proved, now: datetime) -> ResponseReturnValue:
    if isinstance(outcome, Proved):
        return _second(outcome, now)
    if _is_for_app():
        return page("sign_in_link.html", is_private=True, opened=outcome)
    lang = request.args.get("lang")
    return entered(outcome, _next() or url_for("web.account", lang=lang), now=now)


def _form(status: int = 200, **context: Any) -> Response:
    values = {"error": None, "email": "", "contact": "", "wait_s": None, **context}
    with reading() as session:
        providers = oidc.offered(session)
    lang = reader_language()
    values["providers"] = [(_provider_url(each), each.name(lang)) for each in providers]
    return page("sign_in.html", status=status, is_private=True, opens_session=True, **values)


def _provider_url(provider: oidc.Provider) -> str:
    leads_to = _next()
    return f"{provider.path}?next={quote(leads_to, safe='')}" if leads_to else provider.path


def _locked(error: LockedError, **context: Any) -> Response:
    wait_s = error.extra["retry_after"]
    answer = _form(error.status, error="locked", wait_s=wait_s, **context)
    answer.headers["Retry-After"] = str(wait_s)
    return answer


def _code_form(typed: str, *, status: int = 200, error: str | None = None) -> Response:
    return page(
        "sign_in_code.html",
        status=status,
        is_private=True,
        opens_session=True,
        contact=typed,
        error=error,
    )


def _second(
    proved: Proved,
    now: datetime,
    *,
    status: int = 200,
    error: str | None = None,
    wait_s: int | None = None,
) -> Response:
    until = int((now + SECOND_STEP).timestamp())
    answer = page(
        "sign_in_second.html",
        status=status,
        is_private=True,
        opens_session=True,
        proved=proved,
        until=until,
        proof=token_for(_secret(), Purpose.SECOND_STEP, proved.person_id, _version(proved, until)),
        error=error,
        wait_s=wait_s,
        is_for_app=_is_for_app(),
    )
    if wait_s is not None:
        answer.headers["Retry-After"] = str(wait_s)
    return answer


def _proved_before(now: datetime) -> Proved | None:
    """Who gave a first proof a moment ago, by what the form of the second holds."""
    form = request.form
    try:
        proved = Proved(UUID(form.get("person", "")), SignInWay(form.get("way", "")))
        until = int(form.get("until", "")[:12])
    except ValueError:
        return None
    proof = form.get("proof")
    if not matches(
        _secret(), Purpose.SECOND_STEP, proved.person_id, _version(proved, until), proof
    ):
        return None
    return proved if until > now.timestamp() else None


def _version(proved: Proved, until: int) -> str:
    return f"{proved.way}.{until}"


def _contact_typed() -> str:
    return request.form.get("contact", "")[: EMAIL_MAX + 1].strip()


def _contact(session: Session, typed: str, *, is_texted: bool = False) -> ContactPoint:
    """The address or number that was typed into one field.

    Raises:
        InvalidError: it is neither, or no text can reach it.
    """
    if "@" in typed:
        email = normal_email(typed)
        if not is_email(email) or not STORABLE.match(email):
            raise InvalidError("This is not an e-mail address.", field="email")
        return ContactPoint.email(email)
    place = contacts.place_of(session, None, current_app.config["DEFAULT_JURISDICTION"])
    return contacts.named({"phone": typed}, place, is_texted=is_texted)


def _contact_fault(error: InvalidError) -> str:
    return {"not_textable": "textable", "country_needed": "country"}.get(error.code, "contact")


def _next() -> str | None:
    return local_path(request.args.get("next"))


def _back() -> ResponseReturnValue:
    """Whoever reloads the page of an answer starts again."""
    return redirect(url_for("web.sign_in", next=_next(), lang=request.args.get("lang")), 303)


def _is_for_app() -> bool:
    return request.values.get("for") == "app"


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret
