"""Sign-in at a city's own identity provider (OpenID Connect): who is let in, and with which roles.

1. `configured` reads what the city's folder says (`policy.sign_in.oidc`); `offered` lists it for
   the sign-in page.
2. `begin` makes an attempt: state, nonce and PKCE verifier. It travels to the provider and back in
   a sealed cookie of the browser, and is good for ten minutes and for one use.
3. `accounts.oidc.protocol` speaks to the provider and returns claims that it verified.
4. `admit` finds or creates the person and makes their roles those of the claims.

A provider speaks for its own city. It never opens the account of somebody who holds a role in a
city that trusts another provider, it takes over an account by its e-mail address only when it
vouches for that address, and the roles that it keeps hold in sessions that it opened
(`accounts.actors`): who leaves the city's directory cannot come back by a mailed link.
"""

from __future__ import annotations

import enum
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts import audit
from accounts.models import GrantOrigin, Identity, Person, RoleGrant, SignInSession, Team
from accounts.oidc import claims as oidc_claims
from accounts.oidc.claims import Mapped, RoleAt
from accounts.rules import PERMISSIONS, STAFF_SESSION, Role
from core.errors import DomainError
from core.i18n import LANGUAGES
from core.ids import new_id
from core.outgoing import Allowance, OutgoingRefusedError, check_url
from geo import jurisdictions
from geo.errors import UnknownJurisdictionError
from geo.jurisdictions import JurisdictionRef

if TYPE_CHECKING:
    from accounts.oidc.protocol import Client

#: Long enough to find one's second factor; a browser that was left open is no way in.
ATTEMPT_LIFETIME = timedelta(minutes=10)

#: Browsers drop a cookie of more than 4096 bytes, and with it the whole attempt.
_DESTINATION_MAX = 500

_SALT = "riverain.oidc.attempt.v1"


class Failure(enum.StrEnum):
    """Why nobody was signed in; each has its page."""

    #: The attempt is unknown, too old, another browser's or used: begin again.
    LOST = "lost"
    #: The provider says no: the person cancelled, or may not use this application.
    REFUSED = "refused"
    #: The provider does not answer, or is in trouble.
    AWAY = "away"
    #: The provider's answer does not prove who this is.
    UNVERIFIED = "unverified"
    #: Provider and city folder do not fit each other: an administrator must look.
    SETUP = "setup"
    #: The provider knows this person; no role is meant for them.
    NO_ROLE = "no_role"
    #: The account was deactivated here.
    DEACTIVATED = "deactivated"
    #: The account holds roles in a city that does not trust this provider.
    ELSEWHERE = "elsewhere"


_STATUS = {
    Failure.LOST: 400,
    Failure.AWAY: 503,
    Failure.UNVERIFIED: 502,
    Failure.SETUP: 502,
}


class OidcError(DomainError):
    """A sign-in at a provider failed.

    Attributes:
        cause: what exactly, for the log: a static code, nothing that anybody sent.
    """

    title = "The sign-in at the city's identity provider failed"

    def __init__(self, failure: Failure, cause: str = "") -> None:
        super().__init__()
        self.failure = failure
        self.cause = cause or failure.value
        self.status = _STATUS.get(failure, 403)
        self.code = f"oidc_{failure}"


@dataclass(frozen=True, slots=True)
class Provider:
    """A city's provider, as its folder describes it, with the secret that the operator set.

    Attributes:
        client_secret: None: a public client, whom PKCE alone protects.
        acr_values: levels of assurance, one of which the provider must have reached; empty: any.
        email_domains: see `accounts.oidc.claims.proven_email`.
    """

    jurisdiction_id: int
    jurisdiction: str
    names: Mapping[str, str]
    issuer: str
    client_id: str
    client_secret: str | None
    scopes: tuple[str, ...]
    email_claim: str
    roles_claim: str
    teams_claim: str | None
    grants: tuple[Mapped, ...]
    allow_unmapped: bool
    email_domains: frozenset[str] | None
    acr_values: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where a sign-in at it begins."""
        return path_of(self.jurisdiction)

    def name(self, locale: str) -> str:
        """What it is called, in a language if it has a name in it."""
        return self.names.get(locale) or next(iter(self.names.values()), self.jurisdiction)

    @property
    def needed_claims(self) -> tuple[str, ...]:
        """Without these, userinfo is asked too."""
        named = (self.email_claim, self.roles_claim if self.grants else None, self.teams_claim)
        return tuple(each for each in named if each)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that began here and is to come back from the provider.

    Attributes:
        destination: a path of ours, checked by `accounts.destinations.local_path`.
        at: when it began, in seconds of Unix time.
    """

    jurisdiction: str
    issuer: str
    state: str
    nonce: str
    verifier: str
    destination: str | None
    at: int


class Connector:
    """How this installation reaches providers. The protocol is loaded at the first sign-in."""

    def __init__(self, secrets: Mapping[str, str], outgoing_allow: str) -> None:
        self.secrets = secrets
        self._allow = Allowance.parse(outgoing_allow)
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Speaks to providers; keeps what they publish."""
        if self._client is None:
            from accounts.oidc.protocol import Client

            self._client = Client(self._allow)
        return self._client


def path_of(jurisdiction: str) -> str:
    """Where a sign-in at the provider of that city begins."""
    return f"/sign-in/oidc/{jurisdiction}"


def is_safe_url(url: str) -> bool:
    """Whether a URL is https, or stays on this machine, where a developer tries a provider."""
    try:
        scheme, host, _, _ = check_url(url)
    except OutgoingRefusedError:
        return False
    if urlsplit(url).fragment:
        return False
    return scheme == "https" or host in ("127.0.0.1", "::1", "localhost")


def configured(
    session: Session, jurisdiction: str, secrets: Mapping[str, str] | None = None
) -> Provider | None:
    """The provider of the city of that code; None when there is none.

    Args:
        secrets: client secrets by city, where the provider is to be called.
    """
    try:
        place = jurisdictions.by_code(session, jurisdiction)
    except UnknownJurisdictionError:
        return None
    return _provider(place, secrets or {})


def offered(session: Session, jurisdiction: str | None = None) -> Sequence[Provider]:
    """The providers that people can choose on the sign-in page, without their secrets.

    Raises:
        UnknownJurisdictionError: there is no city of that code.
    """
    places = (
        jurisdictions.all_of_them(session)
        if jurisdiction is None
        else [jurisdictions.by_code(session, jurisdiction)]
    )
    found = (_provider(place, {}) for place in places)
    return [provider for provider in found if provider is not None]


def begin(provider: Provider, destination: str | None, *, now: datetime) -> Attempt:
    """A fresh attempt. (PKCE: RFC 7636; nonce: OpenID Connect Core 1.0, section 3.1.2.1.)"""
    return Attempt(
        jurisdiction=provider.jurisdiction,
        issuer=provider.issuer,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        destination=destination if len(destination or "") <= _DESTINATION_MAX else None,
        at=int(now.timestamp()),
    )


def seal(secret: str, attempt: Attempt) -> str:
    """The attempt as a browser keeps it: readable by its owner, changed by nobody."""
    text = _signer(secret).dumps(asdict(attempt))
    return text if isinstance(text, str) else text.decode()


def unseal(secret: str, text: str | None, state: str | None, *, now: datetime) -> Attempt:
    """The attempt that came back with that state.

    Raises:
        OidcError: none came, it was not sealed here, it is too old, or it is another one.
    """
    if not text:
        raise OidcError(Failure.LOST, "attempt.missing")
    try:
        attempt = Attempt(**_signer(secret).loads(text))
    except (BadData, TypeError) as error:
        raise OidcError(Failure.LOST, "attempt.forged") from error
    if not 0 <= now.timestamp() - attempt.at <= ATTEMPT_LIFETIME.total_seconds():
        raise OidcError(Failure.LOST, "attempt.expired")
    given = (state or "").encode("utf-8", "surrogatepass")
    if not secrets.compare_digest(attempt.state.encode(), given):
        raise OidcError(Failure.LOST, "attempt.foreign")
    return attempt


def admit(
    session: Session, provider: Provider, claims: Mapping[str, Any], *, now: datetime
) -> UUID | Failure:
    """The person of verified claims, with the roles that these give; else why not.

    In the caller's transaction, which is to be committed either way: somebody who is refused
    because the provider took their last role must not keep it. A stranger who is refused leaves
    nothing behind.
    """
    subject: str = claims["sub"]
    # Two first sign-ins of one person at once make one person.
    session.execute(
        sa.select(
            sa.func.pg_advisory_xact_lock(
                sa.func.hashtextextended(f"{provider.issuer}\n{subject}", 0)
            )
        )
    )
    wanted = _wanted(session, provider, claims)
    identity = session.scalar(
        sa.select(Identity).where(Identity.issuer == provider.issuer, Identity.subject == subject)
    )
    if identity is not None:
        return _admit_known(session, provider, identity, wanted, claims, now)
    return _admit_new(session, provider, subject, wanted, claims, now)


# -- people ---------------------------------------------------------------------------------------


def _admit_known(
    session: Session,
    provider: Provider,
    identity: Identity,
    wanted: Mapping[RoleAt, int | None],
    claims: Mapping[str, Any],
    now: datetime,
) -> UUID | Failure:
    person = _locked(session, Person.id == identity.person_id)
    assert person is not None
    if not person.is_active:
        return Failure.DEACTIVATED
    has_role = _keep_roles(session, provider, person.id, wanted, now)
    if _holds_elsewhere(session, provider, person.id):
        return Failure.ELSEWHERE
    if not has_role and not provider.allow_unmapped:
        return Failure.NO_ROLE
    identity.last_used_at = now
    _complete(person, claims)
    session.flush()
    return person.id


def _admit_new(
    session: Session,
    provider: Provider,
    subject: str,
    wanted: Mapping[RoleAt, int | None],
    claims: Mapping[str, Any],
    now: datetime,
) -> UUID | Failure:
    claimed = oidc_claims.claimed_email(claims, provider.email_claim)
    email = oidc_claims.proven_email(claims, provider.email_claim, domains=provider.email_domains)
    person = _locked(session, Person.email == claimed) if claimed else None
    if person is not None and not person.is_active:
        # Proven or not: whoever was shut out does not come back under a new number.
        return Failure.DEACTIVATED
    if person is not None and (
        email is None
        or _has_identity(session, provider, person.id)
        or _holds_elsewhere(session, provider, person.id)
    ):
        # The address is another account's, and stays its own.
        person, email = None, None
    has_local_role = person is not None and _has_role(session, provider, person.id)
    if not wanted and not has_local_role and not provider.allow_unmapped:
        return Failure.NO_ROLE
    change = "linked"
    if person is None:
        person, change = _created(session, email, now), "created"
    person.verified_at = person.verified_at or now
    _complete(person, claims)
    session.add(
        Identity(
            person_id=person.id,
            jurisdiction_id=provider.jurisdiction_id,
            issuer=provider.issuer,
            subject=subject,
            created_at=now,
            last_used_at=now,
        )
    )
    session.flush()
    audit.record(
        session,
        audit.SYSTEM,
        audit.Action.PERSON_CHANGED,
        audit.Subject("person", person.id, provider.jurisdiction_id),
        now=now,
        data={"change": change, "origin": GrantOrigin.OIDC.value},
    )
    _keep_roles(session, provider, person.id, wanted, now)
    return person.id


def _created(session: Session, email: str | None, now: datetime) -> Person:
    """A new person; without the address when somebody took it in this very moment."""
    person_id = session.scalar(
        postgresql.insert(Person)
        .values(id=new_id(), email=email, created_at=now)
        .on_conflict_do_nothing(index_elements=["email"])
        .returning(Person.id)
    )
    if person_id is None:
        return _created(session, None, now)
    person = _locked(session, Person.id == person_id)
    assert person is not None
    return person


def _complete(person: Person, claims: Mapping[str, Any]) -> None:
    """Fill in what the person has not said; what they chose here stays."""
    person.name = person.name or oidc_claims.full_name(claims)
    person.locale = person.locale or oidc_claims.locale(claims, LANGUAGES)


def _locked(session: Session, which: sa.ColumnElement[bool]) -> Person | None:
    return session.scalar(
        sa.select(Person).where(which).with_for_update().execution_options(populate_existing=True)
    )


def _has_identity(session: Session, provider: Provider, person_id: UUID) -> bool:
    """Whether the address was given to somebody else at the provider, as cities do."""
    found = session.scalar(
        sa.select(Identity.id)
        .where(Identity.person_id == person_id, Identity.issuer == provider.issuer)
        .limit(1)
    )
    return found is not None


def _holds_elsewhere(session: Session, provider: Provider, person_id: UUID) -> bool:
    """Whether this provider would open doors of a city that does not trust it."""
    trusting = {
        place.id
        for place in jurisdictions.all_of_them(session)
        if (settings := _settings(place)) is not None and settings["issuer"] == provider.issuer
    }
    found = session.scalar(
        sa.select(RoleGrant.id)
        .where(
            RoleGrant.person_id == person_id,
            RoleGrant.jurisdiction_id.not_in({*trusting, provider.jurisdiction_id}),
        )
        .limit(1)
    )
    return found is not None


# -- roles ----------------------------------------------------------------------------------------


def _wanted(
    session: Session, provider: Provider, claims: Mapping[str, Any]
) -> dict[RoleAt, int | None]:
    """The roles that the claims give, each with the id of its team."""
    rows = session.execute(
        sa.select(Team.code, Team.id).where(
            Team.jurisdiction_id == provider.jurisdiction_id, Team.is_active
        )
    )
    ids: dict[str | None, int | None] = {row.code: row.id for row in rows}
    found = oidc_claims.roles_at(
        claims,
        provider.grants,
        roles_claim=provider.roles_claim,
        teams_claim=provider.teams_claim,
        teams={code for code in ids if code is not None},
    )
    return {each: ids.get(each.team) for each in found}


def _has_role(session: Session, provider: Provider, person_id: UUID) -> bool:
    found = session.scalar(
        sa.select(RoleGrant.id)
        .where(
            RoleGrant.person_id == person_id,
            RoleGrant.jurisdiction_id == provider.jurisdiction_id,
        )
        .limit(1)
    )
    return found is not None


def _keep_roles(
    session: Session,
    provider: Provider,
    person_id: UUID,
    wanted: Mapping[RoleAt, int | None],
    now: datetime,
) -> bool:
    """Make the roles that the provider keeps those of the claims; whether any role is left.

    A role that was given here stays, also when the provider gives the same.
    """
    held = {
        (Role(row.role), row.team_id): row
        for row in session.scalars(
            sa.select(RoleGrant).where(
                RoleGrant.person_id == person_id,
                RoleGrant.jurisdiction_id == provider.jurisdiction_id,
            )
        )
    }
    keys = {(each.role, team_id) for each, team_id in wanted.items()}
    gone = [key for key, row in held.items() if row.origin == GrantOrigin.OIDC and key not in keys]
    new = sorted(keys - held.keys(), key=lambda key: (key[0], key[1] or 0))
    for key in gone:
        session.delete(held[key])
    for role, team_id in new:
        session.add(
            RoleGrant(
                person_id=person_id,
                role=role.value,
                jurisdiction_id=provider.jurisdiction_id,
                team_id=team_id,
                origin=GrantOrigin.OIDC.value,
            )
        )
    session.flush()
    for change, changed in (("removed", gone), ("added", new)):
        for role, team_id in changed:
            audit.record(
                session,
                audit.SYSTEM,
                audit.Action.ROLE_CHANGED,
                audit.Subject("person", person_id, provider.jurisdiction_id),
                now=now,
                data={
                    "change": change,
                    "role": role.value,
                    "team": team_id,
                    "origin": GrantOrigin.OIDC.value,
                },
            )
    if any(PERMISSIONS[role] for role, _ in new):
        # A citizen's session lasts for days; with the powers of staff it must not.
        session.execute(
            sa.update(SignInSession)
            .where(
                SignInSession.person_id == person_id,
                SignInSession.expires_at > now + STAFF_SESSION,
            )
            .values(expires_at=now + STAFF_SESSION)
        )
    return len(held) - len(gone) + len(new) > 0


# -- configuration --------------------------------------------------------------------------------


def _settings(place: JurisdictionRef) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = (place.policy.get("sign_in") or {}).get("oidc")
    return found


def _provider(place: JurisdictionRef, secrets: Mapping[str, str]) -> Provider | None:
    said = _settings(place)
    if said is None:
        return None
    domains = said.get("email_domains")
    return Provider(
        jurisdiction_id=place.id,
        jurisdiction=place.code,
        names=said["name"],
        issuer=said["issuer"],
        client_id=said["client_id"],
        client_secret=secrets.get(place.code),
        scopes=tuple(said.get("scopes") or ("openid", "email", "profile")),
        email_claim=said.get("email_claim") or "email",
        roles_claim=said.get("roles_claim") or "roles",
        teams_claim=said.get("teams_claim"),
        grants=tuple(
            Mapped(
                value=grant["value"],
                role=Role(grant["role"]),
                team=grant.get("team"),
                is_by_team=grant.get("by_team", False),
            )
            for grant in said.get("grants") or ()
        ),
        allow_unmapped=said.get("allow_unmapped", False),
        email_domains=None if domains is None else frozenset(domains),
        acr_values=tuple(said.get("acr_values") or ()),
    )


def _signer(secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(
        secret,
        salt=_SALT,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
