"""Everything held on one person: what each feature answers, and what the accounts themselves hold.

A feature that stores anything about people has a module `people_data` with the functions of
`Contribution`; `workers.person_data` asks all of them. `held` reads, `erase` forgets, in the
caller's transaction; both may be called again and again. What stays after erasing holds ids at
most: the id of somebody without a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import (
    ApiKey,
    Block,
    Identity,
    Invitation,
    Person,
    RoleGrant,
    SecondFactor,
    SignInChallenge,
    SignInSession,
    Team,
)
from accounts.rules import PERMISSIONS, Role
from core.models import DeadLetter, KeptAnswer


@dataclass(frozen=True, slots=True)
class Who:
    """One person, by whatever is known of them.

    Attributes:
        person_id: of their account, if they have one.
        email, phone: in normal form.
        names: every name they gave anywhere.
    """

    person_id: UUID | None = None
    email: str | None = None
    phone: str | None = None
    names: frozenset[str] = frozenset()

    def also(self, names: frozenset[str]) -> Who:
        """The same person, known by more names."""
        return replace(self, names=self.names | names)


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that belongs to what is held: its name in the export, its key in the storage."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Held:
    """What a feature holds: documents by the name of their file, and files beside them."""

    documents: Mapping[str, Sequence[Mapping[str, Any]]]
    files: Sequence[HeldFile] = ()


@dataclass(frozen=True, slots=True)
class Erased:
    """What a feature forgot, and what it keeps and why.

    Attributes:
        counts: how many of each thing went.
        kept: one sentence for each thing that stays.
    """

    counts: Mapping[str, int]
    kept: Sequence[str] = field(default_factory=tuple)


class Contribution(Protocol):
    """What every feature with data about people answers."""

    def names(self, session: Session, who: Who) -> frozenset[str]:
        """The names that this person gave here."""

    def held(self, session: Session, who: Who) -> Held:
        """Everything held here on this person."""

    def erase(self, session: Session, who: Who, now: datetime) -> Erased:
        """Forget this person here, in the caller's transaction; a second time finds nothing."""


def identify(session: Session, *, email: str | None = None, phone: str | None = None) -> Who:
    """Whoever has that address or number; of an account, with its other one."""
    found = None
    if email is not None or phone is not None:
        found = session.execute(
            sa.select(Person.id, Person.email, Person.phone).where(
                Person.email == email if email is not None else Person.phone == phone
            )
        ).one_or_none()
    if found is None:
        return Who(None, email, phone)
    return Who(found.id, found.email, found.phone)


def is_known(session: Session, person_id: UUID) -> bool:
    """Whether there still is that account."""
    return bool(session.scalar(sa.select(sa.exists().where(Person.id == person_id))))


def of_person(session: Session, person_id: UUID) -> Who:
    """The person of that account."""
    found = session.execute(
        sa.select(Person.email, Person.phone).where(Person.id == person_id)
    ).one()
    return Who(person_id, found.email, found.phone)


def is_staff(session: Session, person_id: UUID) -> bool:
    """Whether the account has a role with any permission."""
    roles = session.scalars(sa.select(RoleGrant.role).where(RoleGrant.person_id == person_id))
    return any(PERMISSIONS[Role(role)] for role in roles)


def names(session: Session, who: Who) -> frozenset[str]:
    """The name of the account, and those that invitations were written to."""
    found = set(session.scalars(sa.select(Person.name).where(Person.id == who.person_id)))
    if who.email is not None:
        found |= set(
            session.scalars(sa.select(Invitation.name).where(_any((Invitation.email, who.email))))
        )
    return frozenset(name for name in found if name)


def held(session: Session, who: Who) -> Held:
    """The account, its roles and ways in, invitations and proofs of contacts."""
    mine = who.person_id
    documents = {
        "account": _rows(
            session,
            sa.select(
                Person.id,
                Person.email,
                Person.phone,
                Person.name,
                Person.locale,
                Person.display,
                Person.password_hash.is_not(None).label("has_password"),
                Person.password_changed_at,
                Person.is_active,
                Person.verified_at,
                Person.created_at,
            ).where(_any((Person.id, mine))),
        ),
        "roles": _rows(
            session,
            sa.select(
                RoleGrant.role,
                RoleGrant.jurisdiction_id,
                Team.code.label("team"),
                RoleGrant.origin,
            )
            .outerjoin(Team, Team.id == RoleGrant.team_id)
            .where(_any((RoleGrant.person_id, mine)))
            .order_by(RoleGrant.id),
        ),
        "sign_ins": _rows(
            session,
            sa.select(
                SignInSession.created_at,
                SignInSession.expires_at,
                SignInSession.revoked_at,
                SignInSession.last_seen_at,
                SignInSession.way,
                SignInSession.agent,
            )
            .where(_any((SignInSession.person_id, mine)))
            .order_by(SignInSession.created_at),
        ),
        "keys": _rows(
            session,
            sa.select(
                ApiKey.name,
                ApiKey.scopes,
                ApiKey.created_at,
                ApiKey.last_used_at,
                ApiKey.expires_at,
                ApiKey.revoked_at,
            )
            .where(_any((ApiKey.person_id, mine)))
            .order_by(ApiKey.created_at),
        ),
        "second_factor": _rows(
            session,
            sa.select(SecondFactor.started_at, SecondFactor.confirmed_at).where(
                _any((SecondFactor.person_id, mine))
            ),
        ),
        "identities": _rows(
            session,
            sa.select(
                Identity.issuer, Identity.subject, Identity.created_at, Identity.last_used_at
            ).where(_any((Identity.person_id, mine))),
        ),
        "proofs": _rows(
            session,
            sa.select(
                SignInChallenge.purpose,
                SignInChallenge.email,
                SignInChallenge.phone,
                SignInChallenge.created_at,
                SignInChallenge.used_at,
            )
            .where(_challenges(who))
            .order_by(SignInChallenge.created_at),
        ),
        "invitations": _rows(
            session,
            sa.select(
                Invitation.email,
                Invitation.name,
                Invitation.role,
                Invitation.created_at,
                Invitation.expires_at,
                Invitation.accepted_at,
            )
            .where(_any((Invitation.email, who.email)))
            .order_by(Invitation.created_at),
        ),
        "blocks": _rows(
            session,
            sa.select(Block.reason, Block.created_at, Block.expires_at, Block.lifted_at).where(
                _any((Block.person_id, mine))
            ),
        ),
    }
    return Held(documents)


def erase(session: Session, who: Who, now: datetime) -> Erased:  # noqa: ARG001 (Contribution)
    """The account and everything that hangs on it, proofs, invitations, and answers kept.

    Call it last: the others look for the account's id.
    """
    counts = {
        "proofs of contacts": _delete(session, SignInChallenge, _challenges(who)),
        "invitations": _delete(session, Invitation, _any((Invitation.email, who.email))),
    }
    for name, model in (
        ("sessions", SignInSession),
        ("keys", ApiKey),
        ("identities", Identity),
        ("roles", RoleGrant),
    ):
        counts[name] = _delete(session, model, _any((model.person_id, who.person_id)))
    counts["second factors"] = _delete(
        session, SecondFactor, _any((SecondFactor.person_id, who.person_id))
    )
    counts["accounts"] = _delete(session, Person, _any((Person.id, who.person_id)))
    counts["answers kept for retries"] = _delete(session, KeptAnswer, _says(KeptAnswer.body, who))
    letters = session.execute(
        sa.update(DeadLetter)
        .where(_says(DeadLetter.error, who))
        .values(error="(erased)")
        .returning(DeadLetter.id)
        .execution_options(synchronize_session=False)
    ).all()
    counts["errors put aside"] = len(letters)
    kept = [
        f"team {code}: its address in the city folder is theirs; change the folder and load it"
        for code in session.scalars(
            sa.select(Team.code).where(_any((Team.email, who.email))).order_by(Team.code)
        )
    ]
    return Erased(counts, kept)


def _challenges(who: Who) -> sa.ColumnElement[bool]:
    table = SignInChallenge
    return _any(
        (table.person_id, who.person_id),
        (table.email, who.email),
        (table.old_email, who.email),
        (table.phone, who.phone),
        (table.old_phone, who.phone),
    )


def _any(*pairs: tuple[Any, Any]) -> sa.ColumnElement[bool]:
    """Whether one of the columns has its value, where there is one.

    What is not known of somebody is nobody's: compared with None, a column would find every row
    that has no value.
    """
    known = [column == value for column, value in pairs if value is not None]
    return sa.or_(*known) if known else sa.false()


def _says(column: Any, who: Who) -> sa.ColumnElement[bool]:
    """Whether a text holds something that names this person."""
    known = [text for text in (who.email, who.phone, *sorted(who.names)) if text]
    found = [sa.func.strpos(sa.func.lower(column), text.lower()) > 0 for text in known]
    return sa.or_(*found) if found else sa.false()


def _delete(session: Session, model: Any, which: sa.ColumnElement[bool]) -> int:
    result = session.execute(
        sa.delete(model).where(which).execution_options(synchronize_session=False)
    )
    count: int = result.rowcount  # type: ignore[attr-defined]
    return count


def _rows(session: Session, query: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(query).mappings()]
