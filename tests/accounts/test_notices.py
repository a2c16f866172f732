"""Every change of how somebody signs in or is reached is told to them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import challenges, notices, one_time, passwords, people, second_factor
from accounts.actors import Actor
from accounts.contact_rules import ContactKind, ContactPoint
from accounts.me import contacts
from accounts.models import Person, SecondFactor
from accounts.rules import Role
from core.clock import utc_now
from core.models import OutboxEvent
from reports import own
from tests.conftest import SECRET_KEY
from tests.factories import SignedIn, new_jurisdiction, new_person, new_staff, sign_in

PASSWORD = "correct horse battery staple"


@pytest.fixture
def camille(session: Session) -> SignedIn:
    person = new_person(
        session, email="camille@exemple.fr", password_hash=passwords.hashed(PASSWORD)
    )
    return SignedIn(person, sign_in(session, person))


def told(session: Session, person: Person) -> list[str]:
    """What changed of that person's account, as they are told."""
    rows = session.scalars(
        sa.select(OutboxEvent)
        .where(OutboxEvent.name == "account.changed", OutboxEvent.subject_id == person.id)
        .order_by(OutboxEvent.id)
    )
    return [row.data["change"] for row in rows]


def test_a_password(client: FlaskClient, session: Session, camille: SignedIn) -> None:
    url = "/api/v1/me/password"
    wrong = {"current": "something else entirely", "new": "tournesol vélo marais 47"}
    assert client.post(url, json=wrong, headers=camille.headers).status_code == 422
    assert told(session, camille.person) == []
    right = {**wrong, "current": PASSWORD}
    assert client.post(url, json=right, headers=camille.headers).status_code == 204
    assert told(session, camille.person) == ["password"]


def test_a_password_that_the_operator_replaced(session: Session) -> None:
    city = new_jurisdiction(session)
    for word in (PASSWORD, PASSWORD, "tournesol vélo marais 47"):
        given = people.create_person(
            session,
            "a@ville.example",
            Role.AGENT,
            jurisdiction_id=city.id,
            team_id=None,
            password=word,
            now=utc_now(),
        )
    # Neither making the account nor the same password again is news.
    assert told(session, session.get_one(Person, given.person_id)) == ["password"]


def test_a_second_factor(session: Session, camille: SignedIn) -> None:
    person_id, now = camille.person.id, utc_now()
    second_factor.start(session, SECRET_KEY, person_id, now)
    row = session.get_one(SecondFactor, person_id)
    code = one_time.code_at(second_factor._key(SECRET_KEY, row), one_time.step_of(now))
    assert second_factor.confirm(session, SECRET_KEY, person_id, "000", now) is None
    assert second_factor.confirm(session, SECRET_KEY, person_id, code, now)
    second_factor.renew_recovery_codes(session, SECRET_KEY, person_id)
    second_factor.turn_off(session, person_id)
    second_factor.turn_off(session, person_id)
    assert told(session, camille.person) == ["factor_on", "recovery_codes", "factor_off"]


def test_a_contact(session: Session, camille: SignedIn) -> None:
    actor, now = Actor(person_id=camille.person.id), utc_now()
    to = ContactPoint(ContactKind.PHONE, "+33612345678")
    id_ = contacts.ask(session, actor, to, place=None, locale="fr", now=now)
    code = challenges.code(SECRET_KEY, id_)
    contacts.prove(session, SECRET_KEY, actor, id_, "x", belongings=own, now=now)
    contacts.prove(session, SECRET_KEY, actor, id_, code, belongings=own, now=now)
    contacts.give_up(session, actor, ContactKind.PHONE, belongings=own, now=now)
    assert told(session, camille.person) == ["phone", "phone_given_up"]


def test_staff_hear_of_it_in_the_name_of_their_city(session: Session) -> None:
    city, _ = new_jurisdiction(session), new_jurisdiction(session)
    agent = new_staff(session, city, Role.AGENT)
    for person in (agent.person, new_person(session, email="citizen@exemple.fr")):
        notices.tell(session, person.id, notices.AccountChange.PASSWORD)
    rows = session.scalars(
        sa.select(OutboxEvent).where(OutboxEvent.name == "account.changed").order_by(OutboxEvent.id)
    )
    assert [row.jurisdiction_id for row in rows] == [city.id, None]
