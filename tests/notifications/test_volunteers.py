"""What volunteers are told: whom each event concerns, in whose language, and what is overtaken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption import claiming, holding, keeping, passing, reminding, waiting
from assets.adoption.models import Adoption
from assets.adoption.vocabulary import EndReason
from assets.models import Asset, AssetKind
from assets.register import Change, Said, change, take
from assets.vocabulary import AssetState, Origin
from core.models import OutboxEvent
from core.outbox import Event
from core.tokens import Purpose, token_for
from notifications.announcing import announce
from notifications.messages import Carrier
from notifications.models import Delivery
from notifications.vocabulary import Channel
from tests.factories import (
    new_adoption,
    new_asset,
    new_asset_kind,
    new_jurisdiction,
    new_person,
    stored,
)
from tests.notifications.conftest import LINKS, letters, send_due
from tests.statements import count_statements

NOW = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def kind(session: Session) -> AssetKind:
    city = new_jurisdiction(session)
    return new_asset_kind(session, city, names={"fr": "Borne d’incendie", "en": "Fire hydrant"})


@pytest.fixture
def asset(session: Session, kind: AssetKind) -> Asset:
    return new_asset(session, kind, code="H-102")


def heard(session: Session, *names: str) -> list[Event]:
    """The events that were emitted, as the relay hands them over."""
    rows = session.scalars(sa.select(OutboxEvent).order_by(OutboxEvent.id)).all()
    return [
        Event(row.id, row.name, row.subject_id, row.jurisdiction_id, row.data, None, NOW)
        for row in rows
        if row.name in names
    ]


def tell(session: Session, *names: str) -> list[UUID]:
    return announce(session, heard(session, *names), now=NOW)


def test_an_adopter_hears_that_they_look_after_it_and_the_link_is_theirs(
    session: Session, asset: Asset, outbox: Path, folder: dict[Channel, Carrier]
) -> None:
    ana = new_person(session, locale="en")
    adoption = claiming.adopt(session, ana.id, asset.id, claiming.Wish(), now=NOW)
    tell(session, "adoption.begun")
    tell(session, "adoption.begun")
    send_due(session, folder, now=NOW)
    [text] = letters(outbox)
    assert "You now look after: Fire hydrant H-102" in text
    assert "November 2027" in text
    token = token_for(LINKS.secret, Purpose.ADOPTION, adoption.id, 1)
    assert f"{LINKS.base_url}/adoptions/{adoption.id}/{token}?lang=en" in text
    # The link is derived when the letter is made, and kept nowhere.
    [delivery] = stored(session, Delivery)
    assert token not in str(delivery.data)


def test_a_reminder_is_not_sent_to_whoever_has_answered_meanwhile(
    session: Session, kind: AssetKind, outbox: Path, folder: dict[Channel, Carrier]
) -> None:
    for answers in (True, False):
        adoption = new_adoption(
            session,
            new_asset(session, kind),
            now=NOW - timedelta(days=365),
            until=NOW,
            next_step_at=NOW,
        )
        reminding.take_steps(session, now=NOW)
        tell(session, "adoption.reminded")
        if answers:
            keeping.renew(session, session.get_one(Adoption, adoption.id), now=NOW)
    send_due(session, folder, now=NOW)
    states = sorted(row.state for row in stored(session, Delivery))
    assert states == ["gone", "sent"]
    [text] = letters(outbox)
    assert "Vous en occupez-vous toujours" in text


def test_the_next_in_line_and_the_other_side_of_a_hand_over_are_told(
    session: Session, kind: AssetKind, asset: Asset, outbox: Path, folder: dict[Channel, Carrier]
) -> None:
    ana, ben = new_person(session), new_person(session)
    new_adoption(session, asset, ana)
    waiting.join(session, ben.id, asset.id, now=NOW)
    claiming.release(session, ana.id, asset.id, now=NOW)
    other = new_asset(session, kind)
    new_adoption(session, other, ana, name="Hector")
    passing.offer(session, ana.id, other.id, "stranger@courriel.example", now=NOW)
    tell(session, "adoption.offered", "handover.offered", "adoption.ended")
    send_due(session, folder, now=NOW)
    first, second = sorted(letters(outbox), key=lambda text: "C’est votre tour" not in text)
    assert ben.email is not None
    assert ben.email in first
    assert "stranger@courriel.example" in second
    assert "« Hector »" in second
    rows = stored(session, Delivery)
    assert "stranger" not in str([(row.data, row.recipient_id) for row in rows])


def test_a_hand_over_that_was_withdrawn_meanwhile_is_not_sent(
    session: Session, asset: Asset, outbox: Path, folder: dict[Channel, Carrier]
) -> None:
    ana = new_person(session)
    new_adoption(session, asset, ana)
    passing.offer(session, ana.id, asset.id, "stranger@courriel.example", now=NOW)
    tell(session, "handover.offered")
    passing.withdraw(session, ana.id, asset.id, now=NOW)
    send_due(session, folder, now=NOW)
    assert letters(outbox) == []


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (AssetState.REMOVED, "It is not there any more: Fire hydrant H-102"),
        (AssetState.OUT_OF_ORDER, None),
    ],
)
def test_adopters_hear_that_their_asset_is_gone(
    session: Session,
    asset: Asset,
    outbox: Path,
    folder: dict[Channel, Carrier],
    state: AssetState,
    told: str | None,
) -> None:
    ana = new_person(session, locale="en")
    new_adoption(session, asset, ana)
    change(session, take(session, asset.id), Change(state=state), by=Said(Origin.STAFF), now=NOW)
    tell(session, "asset.removed", "asset.changed", "asset.returned")
    send_due(session, folder, now=NOW)
    texts = letters(outbox)
    assert [told in text for text in texts] == ([True] if told else [])


def test_one_that_came_back_meanwhile_is_not_told_as_gone(
    session: Session, asset: Asset, outbox: Path, folder: dict[Channel, Carrier]
) -> None:
    new_adoption(session, asset, new_person(session, locale="en"))
    for state in (AssetState.REMOVED, AssetState.IN_SERVICE):
        said = Change(state=state)
        change(session, take(session, asset.id), said, by=Said(Origin.STAFF), now=NOW)
    tell(session, "asset.removed", "asset.returned")
    send_due(session, folder, now=NOW)
    [text] = letters(outbox)
    assert "It is back: Fire hydrant H-102" in text


@pytest.mark.parametrize(
    ("ends", "is_told"), [("release", False), ("lapse", True), ("staff", True)]
)
def test_whoever_let_go_themselves_is_not_written_to(
    session: Session, asset: Asset, ends: str, is_told: bool
) -> None:
    ana = new_person(session)
    adoption = new_adoption(session, asset, ana)
    if ends == "release":
        claiming.release(session, ana.id, asset.id, now=NOW)
    else:
        reason = EndReason.LAPSED if ends == "lapse" else EndReason.BY_STAFF
        holding.end(
            session, adoption, holding.lock(session, asset.id), reason, actor_id=None, now=NOW
        )
    assert bool(tell(session, "adoption.ended")) == is_told


def test_many_events_cost_no_more_statements_than_two(session: Session, kind: AssetKind) -> None:
    counts: list[Any] = []
    for size in (1, 2, 9):
        events: list[Event] = []
        for _ in range(size):
            adoption = new_adoption(session, new_asset(session, kind))
            data = {"adoption_id": str(adoption.id), "asset_id": str(adoption.asset_id)}
            number = len(counts) * 100 + len(events) + 1
            events.append(
                Event(number, "adoption.begun", adoption.id, kind.jurisdiction_id, data, None, NOW)
            )
        session.commit()
        with count_statements() as sent:
            assert len(announce(session, events, now=NOW)) == size
        counts.append(len(sent))
    assert counts[1] == counts[2]
