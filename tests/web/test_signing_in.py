"""Signing in with a browser: each way in, what is refused and how it is said, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import challenges, one_time, passwords, second_factor
from accounts.cookies import PLAIN_NAME
from accounts.models import Person, SecondFactor, SignInChallenge, SignInSession
from core.clock import utc_now
from tests.conftest import SECRET_KEY
from tests.factories import new_citizen, new_jurisdiction, new_person, new_staff, stored
from tests.web.browsing import browse_as, cookie_of, field, text_of

PASSWORD = "tournesol vélo marais 47"
ME = "/api/v1/me"
HERE = {"Origin": "http://localhost"}


@pytest.fixture
def person(session: Session) -> Person:
    return new_person(
        session, email="camille@courriel.example", password_hash=passwords.hashed(PASSWORD)
    )


def enter(client: FlaskClient, password: str = PASSWORD, path: str = "/sign-in", **form: str):  # type: ignore[no-untyped-def]
    sent = {"email": "Camille@Courriel.example ", "password": password, **form}
    return client.post(path, data=sent, headers=HERE)


def turn_on(session: Session, person: Person) -> list[str]:
    """Give somebody a second factor; its recovery codes."""
    now = utc_now() - timedelta(minutes=3)
    second_factor.start(session, SECRET_KEY, person.id, now)
    codes = second_factor.confirm(
        session, SECRET_KEY, person.id, app_code(session, person, now), now
    )
    assert codes
    return codes


def app_code(session: Session, person: Person, now: object = None) -> str:
    row = session.get_one(SecondFactor, person.id)
    key = second_factor._key(SECRET_KEY, row)
    return one_time.code_at(key, one_time.step_of(now or utc_now()))  # type: ignore[arg-type]


def last_challenge(session: Session) -> SignInChallenge:
    return stored(session, SignInChallenge)[-1]


# -- by password ----------------------------------------------------------------------------------


def test_a_password_signs_the_browser_in_and_its_token_is_nowhere_but_in_the_cookie(
    client: FlaskClient, session: Session, person: Person
) -> None:
    shown = client.get("/sign-in?lang=en")
    assert shown.status_code == 200
    assert shown.headers["Cache-Control"] == "no-store"

    entered = enter(client)

    assert (entered.status_code, entered.headers["Location"]) == (303, "/account")
    assert "HttpOnly" in entered.headers["Set-Cookie"]
    assert "SameSite=Lax" in entered.headers["Set-Cookie"]
    token = cookie_of(client)
    assert token
    assert token not in entered.get_data(as_text=True)
    assert client.get(ME).get_json()["email"] == person.email
    (opened,) = stored(session, SignInSession)
    assert (opened.way, opened.is_browser, opened.has_second_factor) == ("password", True, False)


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_a_wrong_one_is_told_from_an_unknown_address_by_nobody(
    client: FlaskClient, session: Session, person: Person, lang: str
) -> None:
    known = enter(client, "wrong", f"/sign-in?lang={lang}")
    unknown = client.post(
        f"/sign-in?lang={lang}", data={"email": "nobody@x.example", "password": "wrong"}
    )

    assert known.status_code == unknown.status_code == 401
    told = text_of(unknown)
    assert text_of(known) == told
    assert ("do not fit" if lang == "en" else "ne vont pas ensemble") in told
    assert cookie_of(client) is None
    assert stored(session, SignInSession) == []


def test_after_too_many_the_page_says_how_long_to_wait(
    client: FlaskClient, session: Session, person: Person
) -> None:
    for _ in range(20):
        answer = enter(client, "wrong", "/sign-in?lang=en")
        if answer.status_code == 429:
            break

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "Try again in" in text_of(answer)
    assert enter(client).status_code == 429, "not even the right one"


@pytest.mark.parametrize(
    ("email", "password"),
    [("", "x"), ("no address", "x"), ("a@b\x00.example", "x"), ("x" * 500 + "@y.example", "x")],
)
def test_what_cannot_be_an_address_is_said_to_be_none(
    client: FlaskClient, session: Session, email: str, password: str
) -> None:
    answer = client.post("/sign-in?lang=en", data={"email": email, "password": password})
    assert answer.status_code == 422
    assert "not an e-mail address" in text_of(answer)


def test_a_password_of_a_megabyte_costs_nothing(client: FlaskClient, session: Session) -> None:
    assert enter(client, "a" * 100_000).status_code == 401


# -- the session ----------------------------------------------------------------------------------


def test_a_new_sign_in_is_a_new_session_and_ends_the_old_one(
    client: FlaskClient, session: Session, person: Person
) -> None:
    stranger = new_citizen(session).person
    csrf = browse_as(client, session, stranger)
    before = cookie_of(client)

    assert enter(client, csrf=csrf).status_code == 303

    after = cookie_of(client)
    assert after != before
    client.set_cookie(PLAIN_NAME, before or "")
    assert client.get(ME).status_code == 401
    client.set_cookie(PLAIN_NAME, after or "")
    assert client.get(ME).get_json()["email"] == person.email


def test_a_token_that_was_planted_is_not_taken_over(
    client: FlaskClient, session: Session, person: Person
) -> None:
    client.set_cookie(PLAIN_NAME, "rvs_" + "a" * 43)
    assert enter(client).status_code == 303
    assert cookie_of(client) != "rvs_" + "a" * 43


def test_signing_out_ends_the_session_and_forgets_the_cookie(
    client: FlaskClient, session: Session, person: Person
) -> None:
    enter(client)
    token = cookie_of(client)
    assert client.post("/sign-out", headers=HERE).status_code == 403, "not without the token"
    csrf = field(client.get("/account"), "csrf")

    answer = client.post("/sign-out", data={"csrf": csrf}, headers=HERE)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert cookie_of(client) is None
    client.set_cookie(PLAIN_NAME, token or "")
    assert client.get(ME).status_code == 401
    client.delete_cookie(PLAIN_NAME)
    assert client.post("/sign-out").status_code == 303, "twice is once"


def test_opening_the_way_out_changes_nothing(
    client: FlaskClient, session: Session, person: Person
) -> None:
    enter(client)
    assert client.get("/sign-out").status_code == 303
    assert client.get(ME).status_code == 200


# -- from another site ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/sign-in", "/sign-in/link", "/sign-in/code", "/sign-in/second-factor"]
)
def test_no_other_site_signs_a_visitor_in(
    client: FlaskClient, session: Session, person: Person, path: str, headers: dict[str, str]
) -> None:
    form = {"email": person.email or "", "password": PASSWORD, "contact": person.email or ""}
    answer = client.post(path + "?lang=en", data=form, headers=headers)

    assert answer.status_code == 403
    assert "out of date" in text_of(answer)
    assert "Set-Cookie" not in answer.headers
    assert stored(session, SignInChallenge) == []


def test_nor_by_a_link_of_its_own(client: FlaskClient, session: Session, person: Person) -> None:
    client.post("/sign-in/link", data={"contact": person.email or ""})
    challenge = last_challenge(session)
    token = challenges.link_token(SECRET_KEY, challenge.id)
    path = f"/sign-in/{challenge.id}/{token}"

    assert client.post(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post(path, headers=HERE).status_code == 303


def test_forms_that_sign_in_can_say_that_they_are_ours(
    client: FlaskClient, session: Session
) -> None:
    # With `no-referrer`, browsers say `Origin: null` of our own forms.
    for path in ("/sign-in", "/sign-in/01890a5d-ac96-774b-bcce-b302099a8057/x"):
        assert client.get(path).headers["Referrer-Policy"] == "same-origin"


# -- where it leads -------------------------------------------------------------------------------

TRICKS = [
    "https://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    "/\x00/evil.example",
    "/a\r\nSet-Cookie: a=b",
    "javascript:alert(1)",
    "data:text/html,x",
    "http:/account",
    "account",
    "",
]


def test_after_signing_in_people_are_where_they_wanted_to_be(
    client: FlaskClient, session: Session, person: Person
) -> None:
    asked = client.get("/my-reports?lang=en")
    assert asked.status_code == 303
    assert asked.headers["Location"] == "/sign-in?next=/my-reports?lang%3Den"
    form = client.get(asked.headers["Location"])
    assert "next=/my-reports?lang%3Den" in form.get_data(as_text=True)

    entered = enter(client, path=asked.headers["Location"])

    assert entered.headers["Location"] == "/my-reports?lang=en"
    assert client.get(asked.headers["Location"]).headers["Location"] == "/my-reports?lang=en"


@pytest.mark.parametrize("trick", TRICKS)
def test_and_never_on_another_site(
    client: FlaskClient, session: Session, person: Person, trick: str
) -> None:
    path = f"/sign-in?next={quote(trick, safe='')}"

    assert "evil" not in client.get(path).get_data(as_text=True)
    assert enter(client, path=path).headers["Location"] == "/account"
    assert client.get(path).headers["Location"] == "/account"


# -- by message -----------------------------------------------------------------------------------


def test_a_code_of_the_message_signs_in(client: FlaskClient, session: Session) -> None:
    asked = client.post(
        "/sign-in/link?lang=en", data={"contact": "New@courriel.example"}, headers=HERE
    )
    assert asked.status_code == 200
    assert "a message is on its way" in text_of(asked)
    challenge = last_challenge(session)

    wrong = client.post(
        "/sign-in/code?lang=en", data={"contact": "new@courriel.example", "code": "1"}
    )
    assert wrong.status_code == 401
    assert "This code is wrong" in text_of(wrong)
    session.refresh(challenge)
    assert challenge.tries == 1

    code = challenges.code(SECRET_KEY, challenge.id)
    right = client.post(
        "/sign-in/code", data={"contact": field(asked, "contact"), "code": code}, headers=HERE
    )
    assert right.status_code == 303
    assert client.get(ME).get_json()["email"] == "new@courriel.example"


def test_a_mobile_number_will_do(client: FlaskClient, session: Session) -> None:
    new_jurisdiction(session)
    client.post("/sign-in/link", data={"contact": "+33 6 12 34 56 78"})
    challenge = last_challenge(session)
    assert challenge.phone == "+33612345678"

    code = challenges.code(SECRET_KEY, challenge.id)
    answer = client.post("/sign-in/code", data={"contact": "+33612345678", "code": code})
    assert answer.status_code == 303


def test_what_cannot_be_reached_is_refused_in_words(client: FlaskClient, session: Session) -> None:
    for typed in ("", "nobody", "a@b", "x\x00@y.example", "12", "9" * 400):
        answer = client.post("/sign-in/link?lang=en", data={"contact": typed})
        assert answer.status_code == 422, typed
        assert "neither an e-mail address nor a telephone number" in text_of(answer)
    landline = client.post("/sign-in/link?lang=en", data={"contact": "+33 4 67 00 00 00"})
    assert "cannot receive texts" in text_of(landline)
    assert stored(session, SignInChallenge) == []


def test_whoever_reloads_an_answer_starts_again(client: FlaskClient, session: Session) -> None:
    for path in ("link", "code", "second-factor"):
        answer = client.get(f"/sign-in/{path}?next=/account&lang=en")
        assert (answer.status_code, answer.headers["Location"]) == (
            303,
            "/sign-in?next=/account&lang=en",
        )


# -- with a second factor -------------------------------------------------------------------------


def step(answer: object) -> dict[str, str]:
    """The hidden fields of the second step."""
    return {name: field(answer, name) for name in ("person", "way", "until", "proof")}


def test_a_password_alone_is_not_enough_for_whoever_has_a_second_factor(
    client: FlaskClient, session: Session, person: Person
) -> None:
    turn_on(session, person)

    first = enter(client, path="/sign-in?lang=en&next=/my-reports")
    assert first.status_code == 200
    assert "authenticator app" in text_of(first)
    assert "Set-Cookie" not in first.headers

    wrong = client.post("/sign-in/second-factor?lang=en", data={**step(first), "otp": "000000"})
    assert wrong.status_code == 401
    assert "This code is wrong" in text_of(wrong)

    right = client.post(
        "/sign-in/second-factor?next=/my-reports",
        data={**step(wrong), "otp": app_code(session, person)},
        headers=HERE,
    )
    assert (right.status_code, right.headers["Location"]) == (303, "/my-reports")
    opened = stored(session, SignInSession)[-1]
    assert (opened.has_second_factor, opened.is_browser) == (True, True)


def test_a_recovery_code_works_once_and_after_a_mailed_link_too(
    client: FlaskClient, session: Session, person: Person
) -> None:
    codes = turn_on(session, person)

    def try_code() -> int:
        client.post("/sign-in/link", data={"contact": person.email or ""})
        challenge = last_challenge(session)
        token = challenges.link_token(SECRET_KEY, challenge.id)
        first = client.post(f"/sign-in/{challenge.id}/{token}")
        assert cookie_of(client) is None
        answer = client.post("/sign-in/second-factor", data={**step(first), "otp": codes[0]})
        client.delete_cookie(PLAIN_NAME)
        return answer.status_code

    assert try_code() == 303
    assert try_code() == 401


def test_the_second_step_cannot_be_reached_without_the_first(
    client: FlaskClient, session: Session, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(session, person)
    other = new_person(session)
    good = step(enter(client))
    otp = app_code(session, person)
    late = str(int(utc_now().timestamp()) - 1)

    for changed in (
        {"person": str(other.id)},
        {"way": "oidc"},
        {"way": "nonsense"},
        {"until": late},
        {"until": str(int(good["until"]) + 600)},
        {"until": "soon"},
        {"proof": "guess"},
        {"proof": "é"},
        {"person": "x"},
    ):
        answer = client.post("/sign-in/second-factor?lang=en", data={**good, **changed, "otp": otp})
        assert answer.status_code == 401, changed
        assert "took too long" in text_of(answer)
    assert cookie_of(client) is None


def test_the_second_step_expires(
    client: FlaskClient, session: Session, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(session, person)
    good = step(enter(client))
    later = utc_now() + timedelta(minutes=11)
    monkeypatch.setattr("web.signing_in.utc_now", lambda: later)

    answer = client.post(
        "/sign-in/second-factor", data={**good, "otp": app_code(session, person, later)}
    )
    assert answer.status_code == 401


def test_codes_cannot_be_guessed_one_after_another(
    client: FlaskClient, session: Session, person: Person
) -> None:
    turn_on(session, person)
    good = step(enter(client))
    for _ in range(20):
        answer = client.post("/sign-in/second-factor?lang=en", data={**good, "otp": "000000"})
        if answer.status_code == 429:
            break

    assert answer.status_code == 429
    assert "Too many wrong codes" in text_of(answer)
    assert int(answer.headers["Retry-After"]) > 0


# -- beside it ------------------------------------------------------------------------------------


def test_a_refusal_for_too_many_calls_is_a_page(
    new_app: Callable[..., Flask], session: Session, valkey: object
) -> None:
    browser = new_app(rate_limits=True).test_client()
    for _ in range(12):
        answer = browser.post("/sign-in/link?lang=en", data={"contact": "nobody"})
        if answer.status_code == 429:
            break

    assert (answer.status_code, answer.mimetype) == (429, "text/html")
    assert 0 < int(answer.headers["Retry-After"]) <= 600
    assert "A moment, please." in text_of(answer)
    assert "You can come back in" in text_of(answer)


def test_pages_of_an_app_s_token_are_not_opened_by_it(
    client: FlaskClient, session: Session
) -> None:
    staff = new_staff(session, new_jurisdiction(session))

    assert client.get("/account", headers=staff.headers).status_code == 401
    assert client.get("/account", headers={"Authorization": "Bearer x"}).status_code == 401


def test_a_page_shows_who_is_signed_in_and_is_then_kept_by_no_cache(
    client: FlaskClient, session: Session
) -> None:
    anonymous = client.get("/?lang=en")
    assert "no-store" not in anonymous.headers.get("Cache-Control", "")
    assert "Sign in" in text_of(anonymous)

    browse_as(client, session, new_citizen(session).person)
    known = client.get("/?lang=en")

    assert "Cookie" in known.headers["Vary"]
    assert "no-store" in known.headers["Cache-Control"]
    assert "My reports" in text_of(known)
