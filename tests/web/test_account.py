"""One's own account and one's own reports on a page."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import challenges, one_time, passwords, second_factor
from accounts.models import AuditEntry, Person, SecondFactor, SignInChallenge, SignInSession
from accounts.rules import Role
from core.clock import utc_now
from core.tokens import Purpose, token_for
from reports.vocabulary import Status, Visibility
from tests.conftest import SECRET_KEY
from tests.factories import (
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_person,
    new_report,
    new_service,
    new_staff,
    sign_in,
    stored,
)
from tests.web.browsing import browse_as, cookie_of, text_of

PASSWORD = "tournesol vélo marais 47"


@pytest.fixture
def person(session: Session) -> Person:
    return new_person(
        session,
        email="camille@courriel.example",
        name=None,
        password_hash=passwords.hashed(PASSWORD),
    )


@pytest.fixture
def csrf(client: FlaskClient, session: Session, person: Person) -> str:
    return browse_as(client, session, person, way="password")


def act(client: FlaskClient, csrf: str, action: str, **form: str) -> Any:
    return client.post(f"/account/{action}?lang=en", data={"csrf": csrf, **form})


def key_of(session: Session, person: Person) -> bytes:
    return second_factor._key(SECRET_KEY, session.get_one(SecondFactor, person.id))


def app_code(session: Session, person: Person, *, steps: int = 0) -> str:
    return one_time.code_at(key_of(session, person), one_time.step_of(utc_now()) + steps)


# -- the account ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/account", "/my-reports"])
def test_only_whoever_is_signed_in_sees_it(
    client: FlaskClient, session: Session, path: str
) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/sign-in?next={path}")
    assert client.post("/account/profile", data={}).status_code == 401


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_the_page_shows_what_is_kept(client: FlaskClient, session: Session, lang: str) -> None:
    city = new_jurisdiction(session)
    staff = new_staff(session, city, Role.MANAGER, name="Camille Durand")
    browse_as(client, session, staff.person, agent="Firefox, Linux")

    answer = client.get(f"/account?lang={lang}")

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    shown = text_of(answer)
    assert staff.person.email in shown
    assert "Firefox, Linux" in shown
    assert ("responsable" if lang == "fr" else "manager") in shown
    assert 'value="Camille Durand"' in answer.get_data(as_text=True)


def test_name_display_and_language_are_the_person_s_choice(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    assert person.display == "anonymous"
    answer = act(client, csrf, "profile", name=" Camille  Durand", display="first", locale="en")

    assert answer.headers["Location"] == "/account?done=profile&lang=en"
    session.refresh(person)
    assert (person.name, person.display, person.locale) == ("Camille Durand", "first", "en")
    assert "Saved." in text_of(client.get(answer.headers["Location"]))

    act(client, csrf, "profile", name="", display="anonymous", locale="fr")
    session.refresh(person)
    assert person.name is None


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "a\u202eb", "display": "full"}, "Write your name with letters"),
        ({"name": "<script>", "display": "full"}, "Write your name with letters"),
        ({"name": "x" * 1000, "display": "full"}, "Write your name with letters"),
        ({"name": "Camille", "display": "everything"}, "could not be done"),
        ({"name": "Camille"}, "could not be done"),
        ({"name": "Camille", "display": "full", "locale": "de"}, "could not be done"),
    ],
)
def test_what_cannot_be_kept_is_refused_on_the_page_and_changes_nothing(
    client: FlaskClient,
    session: Session,
    person: Person,
    csrf: str,
    form: dict[str, str],
    words: str,
) -> None:
    answer = act(client, csrf, "profile", **form)

    assert answer.status_code == 422
    assert words in text_of(answer)
    assert "<script>" not in answer.get_data(as_text=True)
    session.refresh(person)
    assert (person.name, person.display) == (None, "anonymous")


def test_nobody_else_is_changed_by_what_a_form_says(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    other = new_person(session, email="other@courriel.example", name=None)

    act(
        client,
        csrf,
        "profile",
        id=str(other.id),
        person_id=str(other.id),
        email="x@y.example",
        is_active="",
        name="Camille",
        display="full",
    )

    session.refresh(other)
    session.refresh(person)
    assert other.name is None
    assert (person.name, person.email) == ("Camille", "camille@courriel.example")


def test_there_are_no_other_actions(client: FlaskClient, csrf: str) -> None:
    assert act(client, csrf, "delete").status_code == 404
    assert client.get("/account/profile").headers["Location"] == "/account"
    assert client.post("/account/profile").status_code == 403, "nothing without the token"


# -- contacts -------------------------------------------------------------------------------------


def test_a_new_address_is_the_person_s_when_its_code_is_typed(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    asked = act(client, csrf, "email", email="Neuve@courriel.example")
    assert asked.status_code == 200
    assert "a code of six digits is on its way" in text_of(asked)
    challenge = stored(session, SignInChallenge)[-1]
    form = {"challenge": str(challenge.id), "contact": "neuve@courriel.example"}

    wrong = act(client, csrf, "proof", code="000000", **form)
    assert wrong.status_code == 422
    assert "This code is wrong" in text_of(wrong)
    session.refresh(challenge)
    assert challenge.tries == 1

    right = act(client, csrf, "proof", code=challenges.code(SECRET_KEY, challenge.id), **form)
    assert right.headers["Location"] == "/account?done=contact&lang=en"
    session.refresh(person)
    assert person.email == "neuve@courriel.example"


@pytest.mark.parametrize(
    ("action", "form", "status", "words"),
    [
        ("email", {"email": "no address"}, 422, "not an e-mail address"),
        ("email", {"email": "camille@courriel.example"}, 409, "yours already"),
        ("phone", {"phone": "12"}, 422, "not a telephone number"),
        ("phone", {"phone": "+33467000000"}, 422, "cannot receive texts"),
        ("no-email", {}, 409, "Without it nobody could reach you"),
        ("proof", {"challenge": "x", "code": "1"}, 422, "This code is wrong"),
        (
            "proof",
            {"challenge": "01890a5d-ac96-774b-bcce-b302099a8057", "code": "1"},
            422,
            "This code is wrong",
        ),
    ],
)
def test_a_contact_that_will_not_do_is_refused_in_words(
    client: FlaskClient,
    session: Session,
    csrf: str,
    action: str,
    form: dict[str, str],
    status: int,
    words: str,
) -> None:
    answer = act(client, csrf, action, **form)
    assert (answer.status_code, words in text_of(answer)) == (status, True), text_of(answer)


def test_a_second_contact_can_be_given_up(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    person.phone = "+33612345678"
    session.flush()
    assert act(client, csrf, "no-phone").status_code == 303
    session.refresh(person)
    assert person.phone is None


# -- password -------------------------------------------------------------------------------------


def test_a_new_password_needs_the_old_one_and_ends_the_other_sessions(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    elsewhere = sign_in(session, person)
    new = "pluie ardoise hangar 12"

    wrong = act(client, csrf, "password", current="nope", new=new)
    assert (wrong.status_code, "not your present password" in text_of(wrong)) == (422, True)

    right = act(client, csrf, "password", current=PASSWORD, new=new)
    assert right.headers["Location"] == "/account?done=password&lang=en"
    session.refresh(person)
    assert passwords.fits(person.password_hash, new)
    assert client.get("/account").status_code == 200
    gone = client.get("/api/v1/me", headers={"Authorization": f"Bearer {elsewhere}"})
    assert gone.status_code == 401


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("short", "too short"),
        ("a" * 20, "repeats a few characters"),
        ("x1y2z3" * 30, "too long"),
        ("camille@courriel.example", "must not be your e-mail address"),
    ],
)
def test_a_weak_password_is_refused_in_words(
    client: FlaskClient, csrf: str, new: str, words: str
) -> None:
    answer = act(client, csrf, "password", current=PASSWORD, new=new)
    assert (answer.status_code, words in text_of(answer)) == (422, True)


# -- second factor --------------------------------------------------------------------------------


def test_a_stranger_at_an_open_browser_sets_no_second_factor_up(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    assert 'id="password-factor"' in client.get("/account").get_data(as_text=True)
    for form in ({}, {"password": "something else"}):
        answer = act(client, csrf, "second-factor", **form)
        assert answer.status_code in (403, 422)
        assert "<img" not in answer.get_data(as_text=True)
    assert session.get(SecondFactor, person.id) is None


def test_who_forgot_the_password_signs_in_by_link_and_makes_another(
    client: FlaskClient, session: Session, person: Person
) -> None:
    csrf = browse_as(client, session, person, way="link")
    shown = client.get("/account").get_data(as_text=True)
    assert 'name="current"' not in shown
    assert 'id="password-factor"' not in shown
    assert act(client, csrf, "password", new="un autre, bien plus long").status_code == 303
    assert passwords.fits(person.password_hash, "un autre, bien plus long")

    # In a session that was opened with the password it must be shown.
    csrf = browse_as(client, session, person, way="password")
    assert act(client, csrf, "password", new="encore un autre, très long").status_code == 422


def test_a_national_number_is_not_read_in_a_country_that_nothing_names(
    client: FlaskClient, session: Session, csrf: str
) -> None:
    new_jurisdiction(session)
    new_jurisdiction(session)
    answer = act(client, csrf, "phone", phone="06 12 34 56 78")
    assert answer.status_code == 422
    assert "write the number with its country" in text_of(answer)


def test_a_second_factor_is_set_up_used_and_turned_off(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    elsewhere = sign_in(session, person, is_browser=True)
    setup = act(client, csrf, "second-factor", password=PASSWORD)
    page = setup.get_data(as_text=True)
    assert setup.headers["Cache-Control"] == "no-store"
    assert 'src="data:image/svg+xml' in page
    assert "<script" not in page
    shown = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert shown
    assert shown[1].replace(" ", "") == one_time.base32(key_of(session, person))

    wrong = act(client, csrf, "second-factor-confirmation", otp="000000")
    assert wrong.status_code == 422
    assert shown[1] in wrong.get_data(as_text=True), "the same key is shown again"
    assert not second_factor.is_on(session, person.id)

    right = act(client, csrf, "second-factor-confirmation", otp=app_code(session, person))
    codes = re.findall(r"<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", right.get_data(as_text=True))
    assert len(codes) == one_time.RECOVERY_CODES
    assert second_factor.is_on(session, person.id)
    assert [row.revoked_at is None for row in stored(session, SignInSession)].count(True) == 1
    assert elsewhere != cookie_of(client)

    refused = act(client, csrf, "second-factor-end", otp="000000")
    assert (refused.status_code, "This code is wrong" in text_of(refused)) == (422, True)
    off = act(client, csrf, "second-factor-end", otp=codes[0])
    assert off.headers["Location"] == "/account?done=factor_off&lang=en"
    assert not second_factor.is_on(session, person.id)
    changes = [entry.data["change"] for entry in stored(session, AuditEntry)]
    assert changes == ["on", "off"]


def test_recovery_codes_are_made_anew_with_a_code(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    act(client, csrf, "second-factor", password=PASSWORD)
    first = act(client, csrf, "second-factor-confirmation", otp=app_code(session, person))
    old = re.findall(r"<code>([a-z0-9-]{11})</code>", first.get_data(as_text=True))

    again = act(client, csrf, "recovery-codes", otp=old[0])

    new = re.findall(r"<code>([a-z0-9-]{11})</code>", again.get_data(as_text=True))
    assert len(new) == len(old)
    assert not set(new) & set(old)
    assert act(client, csrf, "second-factor-end", otp=old[1]).status_code == 422


def test_codes_are_not_to_be_guessed_here_either(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    act(client, csrf, "second-factor", password=PASSWORD)
    act(client, csrf, "second-factor-confirmation", otp=app_code(session, person))
    for _ in range(20):
        answer = act(client, csrf, "second-factor-end", otp="000000")
        if answer.status_code == 429:
            break
    assert answer.status_code == 429
    assert "Too many tries" in text_of(answer)
    assert int(answer.headers["Retry-After"]) > 0


def test_where_the_city_demands_one_the_page_says_what_to_do(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session, policy={"sign_in": {"second_factor": "staff"}})
    staff = new_staff(session, city)
    browse_as(client, session, staff.person)

    assert "Your city asks its staff for a second factor" in text_of(client.get("/account?lang=en"))


# -- sessions -------------------------------------------------------------------------------------


def test_a_session_elsewhere_is_seen_and_ended(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    elsewhere = sign_in(session, person, agent="Chrome, Android")
    page = client.get("/account?lang=en")
    assert "Chrome, Android" in text_of(page)
    (session_id,) = re.findall(r'name="session" value="([^"]+)"', page.get_data(as_text=True))

    assert act(client, csrf, "end-session", session=session_id).status_code == 303

    gone = client.get("/api/v1/me", headers={"Authorization": f"Bearer {elsewhere}"})
    assert gone.status_code == 401
    assert client.get("/account").status_code == 200


def test_nobody_ends_the_session_of_somebody_else(
    client: FlaskClient, session: Session, csrf: str
) -> None:
    other = new_citizen(session)
    theirs = stored(session, SignInSession, person_id=other.person.id)[0]

    assert act(client, csrf, "end-session", session=str(theirs.id)).status_code == 404
    assert act(client, csrf, "end-session", session="x").status_code == 404
    assert client.get("/api/v1/me", headers=other.headers).status_code == 200


def test_all_others_end_at_once(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    tokens = [sign_in(session, person) for _ in range(3)]

    assert act(client, csrf, "end-others").status_code == 303

    for token in tokens:
        gone = client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert gone.status_code == 401
    assert client.get("/account").status_code == 200


# -- reports --------------------------------------------------------------------------------------


def test_my_reports_are_mine_with_their_status_and_the_way_to_their_page(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    service = new_service(session, new_jurisdiction(session), names={"en": "Pothole", "fr": "Trou"})
    mine = new_report(session, service, status=Status.ASSIGNED, visibility=Visibility.HELD.value)
    new_follower(session, mine, is_reporter=True, email=person.email)
    followed = new_report(session, service, status=Status.RESOLVED)
    new_follower(session, followed, person_id=person.id, email=person.email)
    foreign = new_report(session, service)
    new_follower(session, foreign, is_reporter=True, email="other@courriel.example")

    answer = client.get("/my-reports?lang=en")

    html, shown = answer.get_data(as_text=True), text_of(answer)
    token = token_for(SECRET_KEY, Purpose.TRACK, mine.id, mine.token_version)
    assert f"/r/{mine.id}/{token}?lang=en" in html
    assert client.get(f"/r/{mine.id}/{token}").status_code == 200
    assert f"Report {mine.number}" in shown
    assert "Taken on" in shown
    assert f"Report {followed.number}" in shown
    assert f"/r/{followed.id}" not in html
    assert f"Report {foreign.number} " not in shown


def test_whoever_has_none_is_told_so(client: FlaskClient, csrf: str) -> None:
    shown = text_of(client.get("/my-reports?lang=en"))
    assert "You have not reported anything yet" in shown
    assert "You follow no report of anybody else" in shown


def test_a_long_list_goes_on_and_a_made_up_cursor_leads_nowhere(
    client: FlaskClient, session: Session, person: Person, csrf: str
) -> None:
    service = new_service(session, new_jurisdiction(session))
    now = utc_now()
    reports = [
        new_report(session, service, requested_at=now - timedelta(hours=hour)) for hour in range(23)
    ]
    for report in reports:
        new_follower(session, report, is_reporter=True, email=person.email)

    first = client.get("/my-reports?lang=en").get_data(as_text=True)
    assert first.count('href="/r/') == 20
    (older,) = re.findall(r'href="(/my-reports\?own=[^"]+)"', first)
    rest = client.get(older.replace("&amp;", "&"))
    assert rest.get_data(as_text=True).count('href="/r/') == 3

    for cursor in ("x", "é", "e30", "W10"):
        assert client.get("/my-reports", query_string={"own": cursor}).status_code == 404


# -- forms behind a link --------------------------------------------------------------------------


def test_a_form_behind_a_link_works_for_whoever_is_signed_in(
    client: FlaskClient, session: Session, csrf: str
) -> None:
    report = new_report(session, new_service(session, new_jurisdiction(session)))
    token = token_for(SECRET_KEY, Purpose.TRACK, report.id, report.token_version)
    path = f"/r/{report.id}/{token}"

    page = client.get(path).get_data(as_text=True)
    assert page.count(f'name="csrf" value="{csrf}"') == page.count("<form")
    assert client.post(f"{path}/addition", data={"text": "Devant le 12."}).status_code == 403
    sent = client.post(f"{path}/addition", data={"text": "Devant le 12.", "csrf": csrf})
    assert sent.status_code == 303


# -- one's data -----------------------------------------------------------------------------------


def test_one_takes_ones_data_with_a_link(
    client: FlaskClient, session: Session, csrf: str, person: Person
) -> None:
    assert 'href="/api/v1/me/export"' in client.get("/account").get_data(as_text=True)
    answer = client.get("/api/v1/me/export")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=riverain-")
    answer.close()


def test_an_account_is_ended_by_who_means_it_and_shows_the_password(
    client: FlaskClient, session: Session, csrf: str, person: Person
) -> None:
    assert "your reports, without your name" in text_of(client.get("/account?lang=en"))
    for form, words in (
        ({"password": PASSWORD}, "Tick the box"),
        ({"sure": "yes"}, "this takes your password"),
        ({"sure": "yes", "password": "something else"}, "not your present password"),
    ):
        refused = act(client, csrf, "end", **form)
        assert refused.status_code in (403, 422)
        assert words in text_of(refused), text_of(refused)
    assert person.is_active

    ended = act(client, csrf, "end", sure="yes", password=PASSWORD)
    assert (ended.status_code, ended.headers["Location"]) == (303, "/account/ended?lang=en")
    assert cookie_of(client) is None
    session.refresh(person)
    assert not person.is_active
    assert "Your account is ended" in text_of(client.get("/account/ended?lang=en"))


def test_an_account_with_a_role_is_the_citys_to_end(client: FlaskClient, session: Session) -> None:
    agent = new_staff(session, new_jurisdiction(session), Role.AGENT)
    csrf = browse_as(client, session, agent.person)
    shown = client.get("/account?lang=en")
    assert "it is the city’s to end" in text_of(shown)
    assert 'name="sure"' not in shown.get_data(as_text=True)
    assert act(client, csrf, "end", sure="yes").status_code == 404
    assert agent.person.is_active
