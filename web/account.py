"""One's own account on a page: name, contacts, password, second factor, devices.

GET shows; each form posts to an action of its own and is led back by 303, so that reloading repeats
nothing. Two answers cannot be led back, because what they show is shown once: the QR code of a
second factor that is being set up, and recovery codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

import segno
from flask import Response, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts import audit, cookies, people, people_data, second_factor, sessions, signing_in
from accounts.access import EVERYONE, SESSION, allow, current_actor
from accounts.actors import Actor
from accounts.contact_rules import PHONE_MAX, ContactKind
from accounts.errors import (
    ContactProofFailedError,
    ContactTakenError,
    SecondFactorOffError,
    WeakPasswordError,
    WrongCodeError,
    WrongPasswordError,
)
from accounts.me import contacts, profiles
from accounts.me.contacts import Proof
from accounts.me.schemas import MeIn
from accounts.models import Person
from accounts.rules import EMAIL_MAX, PASSWORD_MAX, is_email, normal_email
from accounts.second_factor import Setup
from core.api import STORABLE, load
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError, InvalidError, NotFoundError, NotSignedInError
from core.limits import Allowance, limited
from geo import jurisdictions
from web.pages import blueprint, page, reader_language


class NotSureError(InvalidError):
    """The box that says that somebody means it was not ticked."""

    code = "not_sure"
    title = "Tick the box if you mean it"


#: What somebody may type as a code, with spaces and hyphens.
_CODE_MAX = 40


@blueprint.get("/account")
@allow(SESSION)
def account() -> ResponseReturnValue:
    """What is kept of the reader, and what they may change."""
    return _show(done=request.args.get("done"))


@blueprint.get("/account/ended")
@allow(EVERYONE)
def farewell() -> ResponseReturnValue:
    """Said to whoever has just ended their account."""
    return page("account_ended.html")


@blueprint.route("/account/<action>", methods=["GET", "POST"])
@allow(SESSION)
@limited(Allowance.SIGN_IN)
def change_account(action: str) -> ResponseReturnValue:
    """Carry out one form of the page; reloading an answer leads back to it."""
    work = _ACTIONS.get(action)
    if work is None:
        raise NotFoundError
    if request.method != "POST":
        return _back()
    try:
        outcome = work(_browser())
    except DomainError as error:
        if error.status in (404, 500):
            raise
        return _show(error=error, action=action)
    return outcome if isinstance(outcome, Response) else _back(outcome)


def _show(
    *, done: str | None = None, error: DomainError | None = None, action: str | None = None
) -> Response:
    actor = _browser()
    now = utc_now()
    with reading() as session:
        person = session.get_one(Person, actor.person_id)
        answer = page(
            "account.html",
            status=error.status if error else 200,
            locale=person.locale,
            is_private=True,
            opens_session=True,
            person=person,
            roles=people.roles_of(session, person.id),
            places={each.code: each for each in jurisdictions.all_of_them(session)},
            factor=second_factor.state(session, person.id),
            sessions=sessions.of_person(session, actor, now=now),
            is_fresh=signing_in.is_fresh(session, actor, signing_in.WITHOUT_PASSWORD, now=now),
            is_recovering=signing_in.is_fresh(session, actor, signing_in.RECOVERING, now=now),
            is_staff=people_data.is_staff(session, person.id),
            done=done if done in _DONE else None,
            error=error,
            action=action,
            fault=_fault(error) if error else None,
            wait_s=error.extra.get("retry_after") if error else None,
            typed=request.form if error else {},
        )
    if error is not None and "retry_after" in error.extra:
        answer.headers["Retry-After"] = str(error.extra["retry_after"])
    return answer


def _fault(error: DomainError) -> str:
    """Which words say what is wrong."""
    if error.code == "invalid":
        fields = error.extra.get("errors") or {error.field: []}
        return next(
            (f"invalid_{name}" for name in ("name", "email", "phone") if name in fields), ""
        )
    if isinstance(error, WeakPasswordError):
        return f"weak_{error.extra['reason']}"
    return error.code


def _back(done: str | None = None) -> ResponseReturnValue:
    return redirect(url_for("web.account", done=done, lang=request.args.get("lang")), 303)


def _browser() -> Actor:
    """Who reads. An app has the JSON API, and no form of ours."""
    actor = current_actor()
    if not actor.is_browser:
        raise NotSignedInError
    return actor


# -- the forms ------------------------------------------------------------------------------------

Done = str | Response


def _profile(actor: Actor) -> Done:
    form = request.form
    sent = load(
        MeIn(),
        {
            "name": form.get("name") or None,
            "locale": form.get("locale") or None,
            "display": form.get("display", ""),
        },
    )
    assert actor.person_id is not None
    with transaction() as session:
        profiles.change(session, actor.person_id, sent)
    return "profile"


def _ask_email(actor: Actor) -> Done:
    email = normal_email(request.form.get("email", "")[: EMAIL_MAX + 1])
    if not is_email(email) or not STORABLE.match(email):
        raise InvalidError("This is not an e-mail address.", field="email")
    return _ask(actor, {"email": email})


def _ask_phone(actor: Actor) -> Done:
    return _ask(actor, {"phone": request.form.get("phone", "")[: PHONE_MAX + 1]})


def _ask(actor: Actor, sent: Mapping[str, str]) -> Done:
    with transaction() as session:
        place = contacts.place_of(session, None, current_app.config["DEFAULT_JURISDICTION"])
        to = contacts.named(sent, place, is_texted=True)
        challenge_id = contacts.ask(
            session, actor, to, place=place, locale=reader_language(), now=utc_now()
        )
    return _proof_form(challenge_id, to.value)


def _proof_form(challenge_id: UUID, contact: str, *, status: int = 200) -> Response:
    return page(
        "account_proof.html",
        status=status,
        is_private=True,
        is_wrong=status != 200,
        challenge_id=challenge_id,
        contact=contact,
    )


def _prove(actor: Actor) -> Done:
    try:
        challenge_id = UUID(request.form.get("challenge", ""))
    except ValueError:
        raise ContactProofFailedError from None
    with transaction() as session:
        proof = contacts.prove(
            session,
            _secret(),
            actor,
            challenge_id,
            request.form.get("code", "")[:_CODE_MAX],
            belongings=current_app.extensions["belongings"],
            now=utc_now(),
        )
    # Only now: what a wrong or vain code changed must be committed.
    if proof is Proof.DONE:
        return "contact"
    if proof is Proof.TAKEN:
        raise ContactTakenError
    return _proof_form(challenge_id, request.form.get("contact", "")[:EMAIL_MAX], status=422)


def _give_up_email(actor: Actor) -> Done:
    return _give_up(actor, ContactKind.EMAIL)


def _give_up_phone(actor: Actor) -> Done:
    return _give_up(actor, ContactKind.PHONE)


def _give_up(actor: Actor, kind: ContactKind) -> Done:
    with transaction() as session:
        contacts.give_up(
            session,
            actor,
            kind,
            belongings=current_app.extensions["belongings"],
            now=utc_now(),
        )
    return "given_up"


def _change_password(actor: Actor) -> Done:
    new = request.form.get("new", "")
    if not STORABLE.match(new):
        raise InvalidError("Control characters cannot be stored.", field="new")
    with transaction() as session:
        is_changed = signing_in.change_password(
            session,
            _secret(),
            actor,
            current=request.form.get("current", "")[: 4 * PASSWORD_MAX] or None,
            new=new[: 4 * PASSWORD_MAX],
            now=utc_now(),
        )
    # Only now: the failure counts.
    if not is_changed:
        raise WrongPasswordError
    return "password"


def _end_session(actor: Actor) -> Done:
    try:
        session_id = UUID(request.form.get("session", ""))
    except ValueError:
        raise NotFoundError from None
    with transaction() as session:
        sessions.end(session, actor, session_id, now=utc_now())
    return "ended"


def _end_others(actor: Actor) -> Done:
    with transaction() as session:
        sessions.end_others(session, actor, now=utc_now())
    return "ended"


def _start_factor(actor: Actor) -> Done:
    assert actor.person_id is not None
    now = utc_now()
    setup = None
    with transaction() as session:
        if _shows_freshly(session, actor, now):
            setup = second_factor.start(session, _secret(), actor.person_id, now)
    # Only now: the failure counts.
    if setup is None:
        raise WrongPasswordError
    return _factor_form(setup)


def _shows_freshly(session: Session, actor: Actor, now: datetime) -> bool:
    """Whether the form holds the password, where the session itself does not do."""
    password = request.form.get("password", "")[: 4 * PASSWORD_MAX]
    return signing_in.prove_freshly(session, _secret(), actor, password=password or None, now=now)


def _factor_form(setup: Setup, *, status: int = 200) -> Response:
    return page(
        "account_factor.html",
        status=status,
        is_private=True,
        is_wrong=status != 200,
        qr=segno.make(setup.uri, error="m").svg_data_uri(scale=5, border=3, light="#fff"),
        secret=_in_fours(setup.secret_base32),
        uri=setup.uri,
    )


def _confirm_factor(actor: Actor) -> Done:
    assert actor.person_id is not None
    now = utc_now()
    with transaction() as session:
        codes = second_factor.confirm(
            session,
            _secret(),
            actor.person_id,
            request.form.get("otp", "")[:_CODE_MAX],
            now,
            session_id=actor.session_id,
        )
        setup = None
        if codes is not None:
            _enter(session, actor, "on", now)
        else:
            setup = second_factor.pending(session, _secret(), actor.person_id, now)
    if codes is not None:
        return _codes(codes)
    if setup is None:
        raise WrongCodeError
    return _factor_form(setup, status=422)


def _renew_codes(actor: Actor) -> Done:
    now = utc_now()
    codes: list[str] | None = None
    with transaction() as session:
        person = session.get_one(Person, actor.person_id)
        if _shows_factor(session, person, now):
            codes = second_factor.renew_recovery_codes(session, _secret(), person.id)
            _enter(session, actor, "recovery_codes", now)
    if codes is None:
        raise WrongCodeError
    return _codes(codes)


def _end_factor(actor: Actor) -> Done:
    now = utc_now()
    with transaction() as session:
        person = session.get_one(Person, actor.person_id)
        is_shown = _shows_factor(session, person, now)
        if is_shown:
            second_factor.turn_off(session, person.id)
            _enter(session, actor, "off", now)
    if not is_shown:
        raise WrongCodeError
    return "factor_off"


def _end_account(actor: Actor) -> Done:
    """Close the account for good; what is held on its holder is erased by the pipeline."""
    if request.form.get("sure") != "yes":
        raise NotSureError
    assert actor.person_id is not None
    with transaction() as session:
        if people_data.is_staff(session, actor.person_id):
            raise NotFoundError
        is_shown = _shows_freshly(session, actor, utc_now())
        if is_shown:
            people.close(session, actor.person_id, now=utc_now())
    # Only now: the failure counts.
    if not is_shown:
        raise WrongPasswordError
    answer = redirect(url_for("web.farewell", lang=request.args.get("lang")), 303)
    assert isinstance(answer, Response)
    cookies.drop(answer)
    return answer


def _shows_factor(session: Session, person: Person, now: datetime) -> bool:
    """Whether the form holds a code of the second factor; a wrong one is counted.

    Raises:
        SecondFactorOffError: there is none.
    """
    if not second_factor.is_on(session, person.id):
        raise SecondFactorOffError
    otp = request.form.get("otp", "")[:_CODE_MAX]
    return signing_in.prove_again(session, _secret(), person, otp=otp, now=now)


def _enter(session: Session, actor: Actor, change: str, now: datetime) -> None:
    assert actor.person_id is not None
    audit.record(
        session,
        actor,
        audit.Action.SECOND_FACTOR_CHANGED,
        audit.Subject("person", actor.person_id),
        now=now,
        data={"change": change},
    )


def _codes(codes: list[str]) -> Response:
    return page("account_codes.html", is_private=True, codes=codes)


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret


_ACTIONS: Mapping[str, Callable[[Actor], Done]] = {
    "profile": _profile,
    "email": _ask_email,
    "phone": _ask_phone,
    "proof": _prove,
    "no-email": _give_up_email,
    "no-phone": _give_up_phone,
    "password": _change_password,
    "end-session": _end_session,
    "end-others": _end_others,
    "second-factor": _start_factor,
    "second-factor-confirmation": _confirm_factor,
    "second-factor-end": _end_factor,
    "recovery-codes": _renew_codes,
    "end": _end_account,
}

_DONE = frozenset({"profile", "contact", "given_up", "password", "ended", "factor_off"})
