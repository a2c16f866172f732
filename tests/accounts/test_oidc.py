"""Staff sign in at their city's provider: the whole way, over real HTTP, and each way it fails."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from accounts import actors, oidc, signing_in
from accounts.models import (
    ApiKey,
    AuditEntry,
    Identity,
    Person,
    RoleGrant,
    SignInSession,
    SignInWay,
    Team,
)
from accounts.rules import Permission, Role
from accounts.secrets import KEY_PREFIX, digest, new_token
from core.clock import utc_now
from geo.models import Jurisdiction
from tests.accounts.oidc_provider import CLIENT_ID, Provider
from tests.factories import grant, new_jurisdiction, new_person, new_team

SECRET = "s3cret/with+signs=and~more"

#: Who the provider knows, unless a test says otherwise.
ADA = {
    "sub": "ada",
    "email": "ada@ville.example",
    "email_verified": True,
    "name": "Ada Lovelace",
    "locale": "fr-FR",
    "groups": ["agents"],
}

COOKIE = "riverain-oidc"


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that works, and knows Ada."""
    running = Provider(claims=dict(ADA), userinfo=None)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def connector(app: Flask, monkeypatch: pytest.MonkeyPatch) -> oidc.Connector:
    """The application as with `OUTGOING_ALLOW=127.0.0.1`, knowing nothing of any provider yet."""
    connector = oidc.Connector({}, "127.0.0.1")
    monkeypatch.setitem(app.extensions, "oidc", connector)
    return connector


def city_with(session: Session, provider: Provider, **settings: Any) -> Jurisdiction:
    """Montpellier, whose staff sign in at that provider."""
    return new_jurisdiction(
        session,
        code="montpellier",
        policy={"sign_in": {"oidc": policy_of(provider, **settings)}},
    )


def policy_of(provider: Provider, **settings: Any) -> dict[str, Any]:
    return {
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "name": {"fr": "Compte de la ville", "en": "City account"},
        "roles_claim": "groups",
        "grants": [
            {"value": "agents", "role": "agent"},
            {"value": "lecteurs", "role": "viewer"},
            {"value": "voirie", "role": "manager", "team": "voirie"},
        ],
        **settings,
    }


@pytest.fixture
def city(session: Session, provider: Provider) -> Jurisdiction:
    return city_with(session, provider)


def ask(url: str) -> tuple[int, str]:
    """What a browser gets at the provider: status and where it is sent next."""
    parts = urlsplit(url)
    line = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        line.request("GET", f"{parts.path}?{parts.query}")
        answer = line.getresponse()
        answer.read()
        return answer.status, answer.headers.get("Location", "")
    finally:
        line.close()


def begin(client: FlaskClient, query: str = "", city: str = "montpellier") -> str:
    """Go to the provider; where it sends the browser back to, as a path."""
    there = client.get(f"/sign-in/oidc/{city}{query}")
    assert there.status_code == 303, there.text
    status, back = ask(there.location)
    assert status == 302
    parts = urlsplit(back)
    return f"{parts.path}?{parts.query}"


def sign_in(client: FlaskClient, query: str = "", city: str = "montpellier") -> TestResponse:
    return client.get(begin(client, query, city))


def changed(path: str, **values: str | None) -> str:
    """The address with other values in its query; None leaves one out."""
    parts = urlsplit(path)
    query = {name: each[0] for name, each in parse_qs(parts.query).items()} | values
    return f"{parts.path}?{urlencode({k: v for k, v in query.items() if v is not None})}"


def roles(session: Session, person: Person | None = None) -> set[tuple[str, str | None, str]]:
    rows = session.execute(
        sa.select(RoleGrant.role, Team.code, RoleGrant.origin)
        .outerjoin(Team, Team.id == RoleGrant.team_id)
        .where(*([RoleGrant.person_id == person.id] if person else []))
    )
    return {(role, team, origin) for role, team, origin in rows}


def failed(
    answer: TestResponse, session: Session, failure: str, status: int, *, opened: int = 0
) -> None:
    """It is a page in words, nobody was signed in, and the attempt is over."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "text/html"
    assert f"single_sign_on.{failure}" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "riverain=" not in " ".join(answer.headers.getlist("Set-Cookie"))
    assert session.scalar(sa.select(sa.func.count()).select_from(SignInSession)) == opened


class Log:
    """The lines that an operator would see about sign-ins at a provider."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    @property
    def causes(self) -> list[str]:
        return [line["cause"] for line in self.lines if line["event"] == "oidc.failed"]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    from web import single_sign_on

    seen = Log()

    class Recorder:
        def warning(self, event: str, **values: Any) -> None:
            seen.lines.append({"event": event, **values})

    monkeypatch.setattr(single_sign_on, "log", Recorder())
    yield seen
    for line in seen.lines:
        assert set(line) == {"event", "failure", "cause", "jurisdiction"}
        assert not {"ada@ville.example", "Ada Lovelace", "ada"} & set(map(str, line.values()))


# -- the way that works ---------------------------------------------------------------------------


def test_a_member_of_staff_signs_in_at_the_city(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction
) -> None:
    answer = sign_in(client)
    assert answer.status_code == 303
    assert answer.location == "/account"
    assert answer.headers["Cache-Control"] == "no-store"

    person = session.scalars(sa.select(Person)).one()
    assert (person.email, person.name, person.locale) == (
        "ada@ville.example",
        "Ada Lovelace",
        "fr",
    )
    assert person.verified_at is not None
    identity = session.scalars(sa.select(Identity)).one()
    assert (identity.issuer, identity.subject) == (provider.issuer, "ada")
    assert roles(session) == {("agent", None, "oidc")}
    opened = session.scalars(sa.select(SignInSession)).one()
    assert (opened.way, opened.is_browser) == (SignInWay.OIDC, True)
    assert opened.expires_at - opened.created_at == timedelta(hours=12)

    me = client.get("/api/v1/me")
    assert me.status_code == 200
    assert me.json["email"] == "ada@ville.example"
    assert me.json["is_staff"] is True


def test_the_request_carries_what_protects_it(
    client: FlaskClient, provider: Provider, city: Jurisdiction
) -> None:
    sign_in(client, "?lang=en")
    (asked,) = provider.authorizations
    assert asked["response_type"] == "code"
    assert asked["scope"] == "openid email profile"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://127.0.0.1:8000/sign-in/oidc/callback"
    assert asked["ui_locales"] == "en"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    (form,) = provider.token_forms
    assert 43 <= len(form["code_verifier"]) <= 128
    assert form["client_id"] == CLIENT_ID
    assert "client_secret" not in form


def test_the_cookie_of_an_attempt_is_kept_from_scripts_and_goes_with_the_way_back(
    client: FlaskClient, city: Jurisdiction
) -> None:
    there = client.get("/sign-in/oidc/montpellier")
    (cookie,) = there.headers.getlist("Set-Cookie")
    assert cookie.startswith(f"{COOKIE}=")
    for word in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"):
        assert word in cookie
    _, back = ask(there.location)
    parts = urlsplit(back)
    client.get(f"{parts.path}?{parts.query}")
    assert client.get_cookie(COOKIE) is None


def test_behind_https_the_cookie_is_the_hosts_own(
    new_app: Callable[..., Flask], session: Session, provider: Provider, city: Jurisdiction
) -> None:
    app = new_app(public_url="https://signalements.ville.example", outgoing_allow="127.0.0.1")
    session.commit()
    there = app.test_client().get("/sign-in/oidc/montpellier")
    (cookie,) = there.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Host-riverain-oidc=")
    assert "Secure" in cookie
    redirect_uri = parse_qs(urlsplit(there.location).query)["redirect_uri"]
    assert redirect_uri == ["https://signalements.ville.example/sign-in/oidc/callback"]


@pytest.mark.parametrize("methods", [None, ["client_secret_basic"], ["client_secret_post"]])
def test_a_client_with_a_secret_shows_it_as_the_provider_wants(
    client: FlaskClient,
    provider: Provider,
    city: Jurisdiction,
    connector: oidc.Connector,
    methods: list[str] | None,
) -> None:
    provider.client_secret = SECRET
    connector.secrets = {"montpellier": SECRET}
    if methods is not None:
        provider.metadata["token_endpoint_auth_methods_supported"] = methods
    assert sign_in(client).status_code == 303


@pytest.mark.parametrize(
    ("wanted", "arrives"),
    [
        ("/my-reports?a=1", "/my-reports?a=1"),
        ("/my-reports?a=" + "é" * 480, "/my-reports?a=" + "%C3%A9" * 480),
        ("/my-reports?a=" + "b" * 900, "/account"),
        ("//evil.example/", "/account"),
        ("https://evil.example/", "/account"),
        ("/\\evil.example/", "/account"),
    ],
)
def test_one_arrives_at_a_page_of_ours_and_nowhere_else(
    client: FlaskClient, city: Jurisdiction, wanted: str, arrives: str
) -> None:
    answer = sign_in(client, "?" + urlencode({"next": wanted}))
    assert answer.location == arrives


def test_several_factors_at_the_provider_are_noted(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction
) -> None:
    provider.claims["amr"] = ["pwd", "otp"]
    sign_in(client)
    assert session.scalars(sa.select(SignInSession)).one().has_second_factor is True


def test_a_level_of_assurance_is_asked_for_and_held(
    client: FlaskClient, session: Session, provider: Provider, log: Log
) -> None:
    city_with(session, provider, acr_values=["eidas2", "eidas3"])
    provider.claims["acr"] = "eidas1"
    failed(sign_in(client), session, "unverified", 502)
    assert provider.authorizations[0]["acr_values"] == "eidas2 eidas3"
    assert log.causes == ["id_token.acr"]
    provider.claims["acr"] = "eidas3"
    assert sign_in(client).status_code == 303


def test_sign_in_and_roles_stand_in_the_audit_log_without_a_word_about_the_person(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    sign_in(client)
    entries = session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [entry.action for entry in entries] == [
        "person.changed",
        "role.changed",
        "session.opened",
    ]
    assert entries[1].data == {"change": "added", "role": "agent", "team": None, "origin": "oidc"}
    assert entries[1].jurisdiction_id == city.id
    assert entries[2].data["way"] == "oidc"
    assert not any("ada" in str(entry.data).lower() for entry in entries)


# -- what is published ----------------------------------------------------------------------------


def test_what_the_provider_publishes_is_kept_and_read_again_when_it_is_old(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction
) -> None:
    for _ in range(3):
        assert sign_in(client).status_code == 303
    assert provider.count("openid-configuration") == 1
    assert provider.count("keys") == 1
    assert provider.count("token") == 3


def test_what_is_kept_is_not_believed_for_ever(
    session: Session, provider: Provider, city: Jurisdiction, connector: oidc.Connector
) -> None:
    known = oidc.configured(session, "montpellier")
    assert known is not None
    now = utc_now()
    for minutes in (0, 59, 61):
        later = now + timedelta(minutes=minutes)
        attempt = oidc.begin(known, None, now=later)
        connector.client.authorization_url(known, attempt, "http://x/cb", "fr", now=later)
    assert provider.count("openid-configuration") == 2


def test_a_key_that_is_new_is_looked_for_once(
    client: FlaskClient, provider: Provider, city: Jurisdiction
) -> None:
    assert sign_in(client).status_code == 303
    provider.rotate(keep=True)
    assert sign_in(client).status_code == 303
    assert provider.count("keys") == 2
    assert sign_in(client).status_code == 303
    assert provider.count("keys") == 2


def test_a_key_that_the_provider_does_not_publish_proves_nothing(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log
) -> None:
    published = provider.keys[0]
    provider.rotate()
    signing = provider.keys[0]
    provider.keys = [published]

    def sign(claims: dict[str, Any]) -> str:
        provider.keys = [signing]
        try:
            return provider.signed(claims)
        finally:
            provider.keys = [published]

    provider.sign = sign
    failed(sign_in(client), session, "unverified", 502)
    assert log.causes == ["id_token.key"]
    assert provider.count("keys") == 2


# -- userinfo -------------------------------------------------------------------------------------


def test_userinfo_is_not_asked_when_the_id_token_says_enough(
    client: FlaskClient, provider: Provider, city: Jurisdiction
) -> None:
    sign_in(client)
    assert provider.count("userinfo") == 0


@pytest.mark.parametrize("is_signed", [False, True])
def test_what_the_id_token_leaves_out_is_asked_of_userinfo(
    client: FlaskClient,
    session: Session,
    provider: Provider,
    city: Jurisdiction,
    is_signed: bool,
) -> None:
    provider.claims = {"sub": "ada"}
    provider.userinfo = dict(ADA)
    provider.userinfo_is_signed = is_signed
    assert sign_in(client).status_code == 303
    assert provider.count("userinfo") == 1
    assert session.scalars(sa.select(Person)).one().email == "ada@ville.example"
    assert roles(session) == {("agent", None, "oidc")}


@pytest.mark.parametrize(
    ("change", "is_signed", "cause"),
    [
        ({"sub": "bob"}, False, "userinfo.sub"),
        ({"sub": "bob"}, True, "userinfo.sub"),
        ({"aud": "another"}, True, "userinfo.aud"),
        ({"iss": "https://another.example"}, True, "userinfo.iss"),
    ],
)
def test_userinfo_about_somebody_else_is_not_believed(
    client: FlaskClient,
    session: Session,
    provider: Provider,
    city: Jurisdiction,
    log: Log,
    change: dict[str, str],
    is_signed: bool,
    cause: str,
) -> None:
    provider.claims = {"sub": "ada"}
    provider.userinfo = {**ADA, **change}
    provider.userinfo_is_signed = is_signed
    failed(sign_in(client), session, "unverified", 502)
    assert log.causes == [cause]


# -- roles ----------------------------------------------------------------------------------------


def test_roles_follow_the_provider_at_every_sign_in(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction
) -> None:
    new_team(session, city, code="voirie")
    sign_in(client)
    provider.claims["groups"] = ["lecteurs", "voirie", "unknown"]
    sign_in(client)
    assert roles(session) == {("viewer", None, "oidc"), ("manager", "voirie", "oidc")}
    changes = session.scalars(
        sa.select(AuditEntry.data)
        .where(AuditEntry.action == "role.changed")
        .order_by(AuditEntry.id)
    ).all()
    assert [(each["change"], each["role"]) for each in changes] == [
        ("added", "agent"),
        ("removed", "agent"),
        ("added", "manager"),
        ("added", "viewer"),
    ]


def test_a_role_that_was_given_here_stays(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction
) -> None:
    ada = new_person(session, email="ada@ville.example", name=None)
    grant(session, ada, Role.AGENT, city)
    grant(session, ada, Role.AUDITOR, city)
    sign_in(client)
    assert roles(session) == {("agent", None, "local"), ("auditor", None, "local")}
    provider.claims["groups"] = []
    assert sign_in(client).status_code == 303
    assert roles(session) == {("agent", None, "local"), ("auditor", None, "local")}


def test_the_teams_come_from_a_claim_where_the_city_says_so(
    client: FlaskClient, session: Session, provider: Provider
) -> None:
    city = city_with(
        session,
        provider,
        roles_claim="realm_access.roles",
        teams_claim="equipes",
        grants=[{"value": "agents", "role": "agent", "by_team": True}],
    )
    for code in ("voirie", "eau", "parcs"):
        new_team(session, city, code=code)
    provider.claims |= {
        "realm_access": {"roles": ["agents"]},
        "equipes": ["voirie", "eau", "unknown"],
    }
    sign_in(client)
    assert roles(session) == {("agent", "voirie", "oidc"), ("agent", "eau", "oidc")}


def test_somebody_without_a_role_is_told_so_and_leaves_nothing(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log
) -> None:
    provider.claims["groups"] = ["somebody else's"]
    failed(sign_in(client), session, "no_role", 403)
    assert log.causes == ["no_role"]
    for table in (Person, Identity, RoleGrant, AuditEntry):
        assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0


def test_who_loses_the_last_role_is_refused_and_has_lost_it_in_open_sessions_too(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction
) -> None:
    sign_in(client)
    assert client.get("/api/v1/me").json["is_staff"] is True
    provider.claims["groups"] = []
    failed(sign_in(client), session, "no_role", 403, opened=1)
    assert roles(session) == set()
    assert client.get("/api/v1/me").json["is_staff"] is False


def test_a_city_may_let_in_people_without_a_role(
    client: FlaskClient, session: Session, provider: Provider
) -> None:
    city_with(session, provider, allow_unmapped=True)
    provider.claims["groups"] = []
    assert sign_in(client).status_code == 303
    assert roles(session) == set()
    assert client.get("/api/v1/me").json["is_staff"] is False


def test_the_providers_roles_hold_only_in_sessions_that_it_opened(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    sign_in(client)
    person = session.scalars(sa.select(Person)).one()
    now = utc_now()
    by_link = signing_in.open_session(
        session, person.id, way=SignInWay.LINK, has_second_factor=True, now=now
    )
    found = actors.find(session, by_link.token, now=now)
    assert found is not None
    assert not found.holds(Permission.READ_REPORTS)


def test_a_key_of_its_person_keeps_the_providers_roles(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    sign_in(client)
    person = session.scalars(sa.select(Person)).one()
    now = utc_now()
    key = new_token(KEY_PREFIX)
    session.add(ApiKey(person_id=person.id, name="script", key_hash=digest(key), created_at=now))
    session.flush()
    found = actors.find(session, key, now=now)
    assert found is not None
    assert found.holds(Permission.READ_REPORTS)


# -- whose account --------------------------------------------------------------------------------


def test_the_account_of_a_verified_address_is_the_persons_own(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    ada = new_person(session, email="ada@ville.example", name="Ada L.")
    sign_in(client)
    person = session.scalars(sa.select(Person)).one()
    assert person.id == ada.id
    assert person.name == "Ada L."


@pytest.mark.parametrize("verified", [None, False, "false", 1])
def test_an_address_that_the_provider_does_not_vouch_for_opens_nobodys_account(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, verified: Any
) -> None:
    ada = new_person(session, email="ada@ville.example")
    provider.claims["email_verified"] = verified
    assert sign_in(client).status_code == 303
    identity = session.scalars(sa.select(Identity)).one()
    assert identity.person_id != ada.id
    assert session.get_one(Person, identity.person_id).email is None


def test_nobody_can_claim_an_address_before_its_owner_comes(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction
) -> None:
    provider.claims["email_verified"] = False
    assert sign_in(client).status_code == 303
    assert session.scalars(sa.select(Person)).one().email is None


def test_an_address_that_was_given_to_a_new_colleague_does_not_bring_the_old_account(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction
) -> None:
    sign_in(client)
    provider.claims["sub"] = "another-ada"
    assert sign_in(client).status_code == 303
    people = session.scalars(sa.select(Person.email).order_by(Person.email.nulls_last())).all()
    assert people == ["ada@ville.example", None]


def test_a_directory_speaks_for_its_own_domain_only(
    client: FlaskClient, session: Session, provider: Provider
) -> None:
    city_with(session, provider, email_domains=["ville.example"])
    ada = new_person(session, email="ada@ville.example")
    victim = new_person(session, email="victim@mail.example")
    provider.claims.pop("email_verified")
    assert sign_in(client).status_code == 303
    provider.claims |= {"sub": "eve", "email": "victim@mail.example", "email_verified": True}
    assert sign_in(client).status_code == 303
    linked = set(session.scalars(sa.select(Identity.person_id)))
    assert ada.id in linked
    assert victim.id not in linked


def test_a_provider_opens_no_account_with_roles_in_another_city(
    client: FlaskClient, session: Session, city: Jurisdiction, log: Log
) -> None:
    other = new_jurisdiction(session, code="lille")
    ada = new_person(session, email="ada@ville.example")
    grant(session, ada, Role.ADMIN, other)
    assert sign_in(client).status_code == 303
    assert session.scalars(sa.select(Identity)).one().person_id != ada.id

    # Nor one that gained such a role later.
    newcomer = session.get_one(Person, session.scalars(sa.select(Identity.person_id)).one())
    grant(session, newcomer, Role.VIEWER, other)
    failed(sign_in(client), session, "elsewhere", 403, opened=1)
    assert log.causes == ["elsewhere"]


def test_cities_that_share_a_provider_share_its_people(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction
) -> None:
    new_jurisdiction(
        session,
        code="castelnau",
        policy={
            "sign_in": {"oidc": policy_of(provider, grants=[{"value": "agents", "role": "viewer"}])}
        },
    )
    assert sign_in(client).status_code == 303
    assert sign_in(client, city="castelnau").status_code == 303
    assert session.scalar(sa.select(sa.func.count()).select_from(Person)) == 1
    assert roles(session) == {("agent", None, "oidc"), ("viewer", None, "oidc")}


@pytest.mark.parametrize("is_known", [True, False])
def test_who_was_deactivated_stays_out(
    client: FlaskClient,
    session: Session,
    provider: Provider,
    city: Jurisdiction,
    log: Log,
    is_known: bool,
) -> None:
    if is_known:
        sign_in(client)
        session.scalars(sa.select(Person)).one().is_active = False
    else:
        new_person(session, email="ada@ville.example", is_active=False)
        provider.claims["email_verified"] = False
    failed(sign_in(client), session, "deactivated", 403, opened=int(is_known))
    assert log.causes == ["deactivated"]
    assert session.scalar(sa.select(sa.func.count()).select_from(Person)) == 1


# -- an attempt is one browser's, for ten minutes, for one use ------------------------------------


def test_an_answer_that_nobody_here_asked_for_is_refused(
    app: Flask, client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction,
    log: Log,
) -> None:  # fmt: skip
    back = begin(client)
    client.delete_cookie(COOKIE)
    failed(client.get(back), session, "lost", 400)
    assert log.causes == ["attempt.missing"]
    assert provider.count("token") == 0


@pytest.mark.parametrize("state", [None, "", "another", "é\ud800"])
def test_a_state_that_is_not_this_browsers_is_refused(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log,
    state: str | None,
) -> None:  # fmt: skip
    back = begin(client)
    path = changed(back, state=None)
    if state is not None:
        path += "&" + urlencode({"state": state}, errors="surrogatepass")
    failed(client.get(path), session, "lost", 400)
    assert log.causes == ["attempt.foreign"]
    assert provider.count("token") == 0


def test_an_answer_to_another_attempt_of_this_browser_is_refused(
    client: FlaskClient, session: Session, city: Jurisdiction, log: Log
) -> None:
    first = begin(client)
    begin(client)
    failed(client.get(first), session, "lost", 400)
    assert log.causes == ["attempt.foreign"]


@pytest.mark.parametrize("text", ["", "x", "e30.x", "a.b.c", "é"])
def test_a_forged_attempt_is_refused(
    client: FlaskClient, session: Session, city: Jurisdiction, log: Log, text: str
) -> None:
    back = begin(client)
    client.set_cookie(COOKIE, text)
    failed(client.get(back), session, "lost", 400)
    assert log.causes in (["attempt.forged"], ["attempt.missing"])


def test_an_attempt_ends_after_ten_minutes(
    app: Flask, client: FlaskClient, session: Session, city: Jurisdiction, log: Log
) -> None:
    provider = oidc.configured(session, "montpellier")
    assert provider is not None
    old = oidc.begin(provider, None, now=utc_now() - oidc.ATTEMPT_LIFETIME - timedelta(seconds=2))
    client.set_cookie(COOKIE, oidc.seal(app.config["SECRET_KEY"], old))
    path = "/sign-in/oidc/callback?" + urlencode({"state": old.state, "code": "x"})
    failed(client.get(path), session, "lost", 400)
    assert log.causes == ["attempt.expired"]


def test_an_attempt_is_used_once_even_by_who_kept_the_cookie(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log
) -> None:
    provider.codes_last = True
    back = begin(client)
    kept = client.get_cookie(COOKIE)
    assert kept is not None
    assert client.get(back).status_code == 303
    client.delete_cookie("riverain")
    client.set_cookie(COOKIE, kept.value)
    failed(client.get(back), session, "lost", 400, opened=1)
    assert log.causes == ["attempt.used"]
    assert provider.count("token") == 1


def test_a_code_that_was_used_is_refused_by_the_provider(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log
) -> None:
    used = begin(client)
    code = parse_qs(urlsplit(used).query)["code"][0]
    assert client.get(used).status_code == 303
    failed(client.get(changed(begin(client), code=code)), session, "lost", 400, opened=1)
    assert log.causes == ["token.invalid_grant"]


def test_a_code_of_another_browser_does_not_fit_this_ones_verifier(
    app: Flask, client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction,
    log: Log,
) -> None:  # fmt: skip
    provider.codes_last = True
    stolen = parse_qs(urlsplit(begin(client)).query)["code"][0]
    failed(client.get(changed(begin(client), code=stolen)), session, "lost", 400)
    assert log.causes == ["token.invalid_grant"]


def test_an_attempt_does_not_outlive_a_change_of_provider(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log
) -> None:
    back = begin(client)
    from geo import jurisdictions

    city.policy = {"sign_in": {"oidc": policy_of(provider, issuer="https://new.example")}}
    city.version += 1
    session.flush()
    jurisdictions.forget()
    failed(client.get(back), session, "lost", 400)
    assert log.causes == ["attempt.provider_changed"]


# -- the provider's answer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "failure", "status"),
    [
        ("access_denied", "refused", 403),
        ("login_required", "refused", 403),
        ("temporarily_unavailable", "away", 503),
        ("server_error", "away", 503),
        ("unauthorized_client", "setup", 502),
        ("<script>alert(1)</script>", "setup", 502),
    ],
)
def test_a_refusal_of_the_provider_is_a_page(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log,
    error: str, failure: str, status: int,
) -> None:  # fmt: skip
    provider.error = error
    answer = sign_in(client)
    failed(answer, session, failure, status)
    assert "script" not in answer.text
    assert "Ada said no" not in answer.text
    assert "script" not in str(log.lines)
    assert provider.count("token") == 0


@pytest.mark.parametrize(
    ("issuer", "cause"),
    [("https://another.example", "answer.issuer"), (None, "answer.issuer_missing")],
)
def test_an_answer_from_another_provider_is_refused_before_the_code_goes_anywhere(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log,
    issuer: str | None, cause: str,
) -> None:  # fmt: skip
    provider.answer_issuer = issuer
    failed(sign_in(client), session, "unverified", 502)
    assert log.causes == [cause]
    assert provider.count("token") == 0


def test_a_provider_that_does_not_promise_its_issuer_need_not_send_it(
    client: FlaskClient, provider: Provider, city: Jurisdiction
) -> None:
    provider.metadata["authorization_response_iss_parameter_supported"] = False
    provider.answer_issuer = None
    assert sign_in(client).status_code == 303


def forging(**values: Any) -> Callable[[dict[str, Any]], None]:
    def forge(claims: dict[str, Any]) -> None:
        for name, value in values.items():
            if value is None:
                claims.pop(name, None)
            else:
                claims[name] = value

    return forge


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"iss": "https://another.example"}, "id_token.iss"),
        ({"iss": None}, "id_token.iss"),
        ({"aud": "another"}, "id_token.aud"),
        ({"aud": ["another"]}, "id_token.aud"),
        ({"aud": None}, "id_token.aud"),
        ({"aud": [CLIENT_ID, "another"]}, "id_token.azp"),
        ({"aud": [CLIENT_ID, "another"], "azp": "another"}, "id_token.azp"),
        ({"azp": "another"}, "id_token.azp"),
        ({"exp": int(time.time()) - 3600}, "id_token.exp"),
        ({"exp": None}, "id_token.exp"),
        ({"exp": "never"}, "id_token.exp"),
        ({"iat": int(time.time()) + 3600, "exp": int(time.time()) + 7200}, "id_token.iat"),
        ({"iat": int(time.time()) - 3600}, "id_token.iat"),
        ({"nbf": int(time.time()) + 3600}, "id_token.nbf"),
        ({"nonce": "another"}, "id_token.nonce"),
        ({"nonce": None}, "id_token.nonce"),
        ({"sub": None}, "id_token.sub"),
        ({"sub": ""}, "id_token.sub"),
        ({"sub": "é"}, "id_token.sub"),
        ({"sub": 7}, "id_token.sub"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "id_token.at_hash"),
    ],
)
def test_an_id_token_that_is_not_for_us_now_is_refused(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log,
    values: dict[str, Any], cause: str,
) -> None:  # fmt: skip
    provider.forge = forging(**values)
    failed(sign_in(client), session, "unverified", 502)
    assert log.causes == [cause]
    assert session.scalar(sa.select(sa.func.count()).select_from(Person)) == 0


def test_several_audiences_are_taken_when_the_token_says_that_it_was_made_for_us(
    client: FlaskClient, provider: Provider, city: Jurisdiction
) -> None:
    provider.forge = forging(aud=[CLIENT_ID, "another"], azp=CLIENT_ID)
    assert sign_in(client).status_code == 303


def test_the_id_token_of_an_earlier_sign_in_is_refused(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log
) -> None:
    made: list[str] = []

    def sign(claims: dict[str, Any]) -> str:
        made.append(provider.signed(claims))
        return made[0]

    provider.sign = sign
    assert sign_in(client).status_code == 303
    failed(sign_in(client), session, "unverified", 502, opened=1)
    assert log.causes == ["id_token.nonce"]


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("signed_by_a_stranger", "id_token.signature"),
        ("signed_with_the_client_secret", "id_token.algorithm"),
        ("signed_with_the_public_key", "id_token.algorithm"),
        ("unsigned", "id_token.algorithm"),
    ],
)
def test_only_a_signature_of_the_providers_own_key_is_believed(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log,
    how: str, cause: str,
) -> None:  # fmt: skip
    provider.sign = getattr(provider, how)
    failed(sign_in(client), session, "unverified", 502)
    assert log.causes == [cause]


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é.é.é", "e30.e30.e30"])
def test_what_is_no_token_is_refused(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, text: str
) -> None:
    provider.sign = lambda _: text
    failed(sign_in(client), session, "unverified", 502)


@pytest.mark.parametrize(
    ("broken", "failure", "status"),
    [
        ({"token": (500, "")}, "away", 503),
        ({"token": (503, "{}")}, "away", 503),
        ({"token": (429, "{}")}, "away", 503),
        ({"token": (200, "<html>")}, "unverified", 502),
        ({"token": (200, "[]")}, "unverified", 502),
        ({"token": (200, "{}")}, "unverified", 502),
        ({"token": (400, '{"error": "invalid_client"}')}, "setup", 502),
        ({"token": (400, '{"error": ["ada@ville.example"]}')}, "setup", 502),
        ({"token": (302, "")}, "setup", 502),
        ({"keys": (500, "")}, "away", 503),
        ({"keys": (200, "{}")}, "setup", 502),
        ({"keys": (200, '{"keys": [{"kty": "oct", "k": "AAAA"}]}')}, "setup", 502),
        ({"keys": (200, "[" * 5000)}, "setup", 502),
    ],
)
def test_a_provider_in_trouble_is_told_from_one_that_is_set_up_wrong(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log,
    broken: dict[str, tuple[int, str]], failure: str, status: int,
) -> None:  # fmt: skip
    provider.broken = broken
    failed(sign_in(client), session, failure, status)
    assert len(log.causes) == 1


@pytest.mark.parametrize(
    ("metadata", "cause"),
    [
        ({"issuer": "https://another.example"}, "discovery.issuer"),
        ({"token_endpoint": "http://another.example/token"}, "discovery.token_endpoint"),
        ({"token_endpoint": None}, "discovery.token_endpoint"),
        ({"jwks_uri": "file:///etc/passwd"}, "discovery.jwks_uri"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "discovery.authorization_endpoint"),
        ({"userinfo_endpoint": "https://a:b@ville.example/"}, "discovery.userinfo_endpoint"),
    ],
)
def test_a_provider_that_publishes_nonsense_is_not_gone_to(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log,
    metadata: dict[str, Any], cause: str,
) -> None:  # fmt: skip
    provider.metadata = metadata
    failed(client.get("/sign-in/oidc/montpellier"), session, "setup", 502)
    assert log.causes == [cause]


def test_codes_and_keys_are_not_fetched_from_the_inside_of_the_network(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log
) -> None:
    provider.metadata = {"token_endpoint": "https://169.254.169.254/latest"}
    failed(sign_in(client), session, "setup", 502)
    assert log.causes == ["provider.private_address"]


def test_without_the_operators_leave_no_loopback_provider_is_called(
    app: Flask, client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction,
    log: Log, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(app.extensions, "oidc", oidc.Connector({}, ""))
    failed(client.get("/sign-in/oidc/montpellier"), session, "setup", 502)
    assert log.causes == ["provider.private_address"]
    assert provider.calls == []


def test_plain_http_is_for_this_machine_alone(
    client: FlaskClient, session: Session, provider: Provider, log: Log
) -> None:
    city_with(session, provider, issuer="http://keycloak.ville.example/realms/ville")
    failed(client.get("/sign-in/oidc/montpellier"), session, "setup", 502)
    assert log.causes == ["issuer.scheme"]


def test_a_provider_that_is_down_is_left_alone_for_a_moment(
    client: FlaskClient, session: Session, provider: Provider, city: Jurisdiction, log: Log
) -> None:
    provider.stop()
    first = client.get("/sign-in/oidc/montpellier")
    failed(first, session, "away", 503)
    assert first.headers["Retry-After"]
    failed(client.get("/sign-in/oidc/montpellier"), session, "away", 503)
    assert log.causes == ["provider.refused", "provider.paused"]


# -- pages and lists ------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["fr", "en"])
@pytest.mark.parametrize("failure", list(oidc.Failure))
def test_every_failure_says_in_both_languages_what_to_do(
    app: Flask, session: Session, lang: str, failure: oidc.Failure
) -> None:
    from web import single_sign_on
    from web.wording import wording

    with app.test_request_context(f"/sign-in/oidc/callback?lang={lang}"):
        response = single_sign_on._failed(oidc.OidcError(failure), "montpellier")
    words = wording(lang)
    text = response.get_data(as_text=True)
    assert str(words(f"single_sign_on.{failure}.title")) in text
    assert str(words(f"single_sign_on.{failure}.text")) in text
    assert '<html lang="' + lang in text


@pytest.mark.parametrize("code", ["lille", "nowhere", "callback", "x" * 300])
def test_a_city_without_a_provider_has_no_such_page(
    client: FlaskClient, session: Session, city: Jurisdiction, code: str
) -> None:
    new_jurisdiction(session, code="lille")
    answer = client.get(f"/sign-in/oidc/{code}")
    assert answer.status_code == (400 if code == "callback" else 404)


def test_the_ways_to_sign_in_are_listed(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    new_jurisdiction(session, code="lille")
    ways = client.get("/api/v1/sign-in-ways", headers={"Accept-Language": "en"})
    assert ways.json == {
        "items": [
            {"way": "password"},
            {"way": "link"},
            {
                "way": "oidc",
                "jurisdiction": "montpellier",
                "name": "City account",
                "url": "http://127.0.0.1:8000/sign-in/oidc/montpellier",
            },
        ]
    }
    of_lille = client.get("/api/v1/sign-in-ways?jurisdiction=lille")
    assert [each["way"] for each in of_lille.json["items"]] == ["password", "link"]
    assert client.get("/api/v1/sign-in-ways?jurisdiction=nowhere").status_code in (404, 422)


def test_the_protocol_is_not_loaded_before_somebody_signs_in_with_it() -> None:
    import subprocess
    import sys

    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            """if True:
            import sys, app.composition, accounts.oidc.views, web.views
            print([n for n in sys.modules if n.split('.')[0] in ('authlib', 'joserfc')])
            """,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "[]"
