"""A small city at work, committed: what tests of the whole API call against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from accounts import cookies, keys
from accounts.models import SignInSession
from accounts.rules import Role
from accounts.secrets import SESSION_PREFIX, digest, new_token
from core.clock import utc_now
from core.db import db, transaction
from core.tokens import Purpose, token_for
from geo import jurisdictions
from reports.duplicates import joining
from reports.history import Author
from reports.models import ServiceRequest
from reports.vocabulary import ActorKind, Status, Visibility
from tests.factories import (
    COMEDIE,
    SignedIn,
    new_area,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    new_team,
)


@dataclass(frozen=True, slots=True)
class City:
    """Names of what is there."""

    jurisdiction: str
    services: Sequence[str]
    teams: Sequence[str]
    #: Every report with its tracking token.
    reports: Mapping[UUID, str]
    followers: Sequence[UUID]
    #: What each role sends to be known; None is nobody.
    callers: Mapping[str, Mapping[str, str]]


def settle(app: Flask) -> City:
    """Fill the database of `app` with one report in every state, and staff."""
    jurisdictions.forget()
    with app.app_context(), transaction() as session:
        city = new_jurisdiction(session, code="montpellier")
        area = new_area(session, city, code="centre")
        team = new_team(session, city, code="voirie")
        other = new_team(session, city, code="eclairage")
        pothole = new_service(session, city, code="pothole")
        lamp = new_service(
            session,
            city,
            code="lamp",
            moderation="before_publication",
            attributes=[LAMP_NUMBER, LAMP_STATE],
        )
        reports: dict[UUID, ServiceRequest] = {}
        followers: list[UUID] = []
        for status in Status:
            if status is Status.DUPLICATE:
                continue
            report = new_report(
                session,
                pothole if len(reports) % 2 else lamp,
                status=status,
                team=None if status is Status.RECEIVED else team,
                areas=[area],
                visibility=Visibility.PUBLIC.value,
            )
            new_photo(session, report)
            follower = new_follower(session, report, is_reporter=True)
            followers.append(follower.id)
            reports[report.id] = report
        parent = next(iter(reports.values()))
        again = new_report(session, lamp)
        joining.join(session, again, parent, by=Author(ActorKind.SYSTEM), now=utc_now())
        held = new_report(session, pothole, visibility=Visibility.HELD.value)
        nowhere = new_report(session, pothole, at=None, requested_at=utc_now() - timedelta(days=9))
        for report in (again, held, nowhere):
            reports[report.id] = report
        staff = {
            "agent": new_staff(session, city, Role.AGENT, team=team),
            "manager": new_staff(session, city, Role.MANAGER),
            "admin": new_staff(session, city, Role.ADMIN),
            "auditor": new_staff(session, city, Role.AUDITOR),
            "citizen": new_citizen(session),
        }
        key = keys.create_key(session, staff["agent"].person.email or "", "program", now=utc_now())
        secret = app.config["SECRET_KEY"]
        return City(
            jurisdiction=city.code,
            services=[pothole.code, lamp.code],
            teams=[team.code, other.code, "needs-place", "unrouted"],
            reports={each: token_for(secret, Purpose.TRACK, each, 1) for each in reports},
            followers=followers,
            callers={
                "nobody": {},
                "key": {"Authorization": f"Bearer {key}"},
                "browser": browser_of(session, staff["manager"]),
            }
            | {name: one.headers for name, one in staff.items()},
        )


AUDIT_TABLES = ("audit_entries", "audit_seals")


def browser_of(session: Session, somebody: SignedIn) -> dict[str, str]:
    """What the browser of somebody sends whose session's token travels in a cookie."""
    row = session.scalars(sa.select(SignInSession).filter_by(person_id=somebody.id)).one()
    token = new_token(SESSION_PREFIX)
    own = SignInSession(
        person_id=somebody.id,
        token_hash=digest(token),
        created_at=row.created_at,
        expires_at=row.expires_at,
        is_browser=True,
    )
    session.add(own)
    session.flush()
    return {
        "Cookie": f"{cookies.name()}={token}",
        cookies.CSRF_HEADER: cookies.csrf_token(own.id),
    }


#: Near the middle of the city.
HERE = COMEDIE

LAMP_NUMBER = {
    "code": "number",
    "datatype": "string",
    "required": False,
    "order": 1,
    "descriptions": {"fr": "Numéro du lampadaire ?", "en": "Number of the lamp?"},
}
LAMP_STATE = {
    "code": "state",
    "datatype": "singlevaluelist",
    "required": False,
    "order": 2,
    "descriptions": {"fr": "Que fait-il ?", "en": "What does it do?"},
    "values": [{"key": "off", "names": {"fr": "Éteint", "en": "Off"}}],
}


def clear(app: Flask) -> None:
    """Empty every table again."""
    jurisdictions.forget()
    with app.app_context():
        db.session.remove()
        with db.engine.begin() as connection:
            names = set(sa.inspect(connection).get_table_names()) - {"alembic_version"}
            tables = ", ".join(f'"{name}"' for name in sorted(names))
            # What keeps everybody from emptying the audit log is lifted for it.
            for table in AUDIT_TABLES:
                connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER append_only"))
            connection.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
            for table in AUDIT_TABLES:
                connection.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER append_only"))
