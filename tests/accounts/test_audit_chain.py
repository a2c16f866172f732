"""The chain over the audit log: what it finds, what it survives, what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from accounts import audit
from accounts.audit import OPERATOR, Action, Subject
from accounts.audit import chain as audit_chain
from accounts.models import AuditEntry, AuditSeal
from core.db import db, transaction
from tests.factories import WEDNESDAY
from workers import sweeper

SECRET = "the key of this installation"


def enter(session: Session, count: int = 1) -> None:
    """Append entries, as reads of contact data would."""
    for number in range(count):
        audit.record(
            session,
            OPERATOR,
            Action.CONTACT_READ,
            Subject("report", number, 1),
            now=WEDNESDAY,
            data={"what": "get_report", "n": number},
        )


def seal(session: Session, secret: str = SECRET, minutes: int = 0) -> audit_chain.Sealed | None:
    return audit_chain.seal_next(session, secret=secret, now=WEDNESDAY + timedelta(minutes=minutes))


def verify(session: Session, **given: Any) -> audit_chain.Verdict:
    return audit_chain.verify(session, **{"secret": SECRET, **given})


def let_edit(session: Session) -> None:
    """What an intruder with the owner's rights would do first."""
    for name in ("audit_entries", "audit_seals"):
        session.execute(sa.text(f"ALTER TABLE {name} DISABLE TRIGGER USER"))


@pytest.fixture
def chain(session: Session) -> list[str]:
    """Three seals of three entries each; their hashes."""
    heads = []
    for minute in range(3):
        enter(session, 3)
        made = seal(session, minutes=minute)
        assert made is not None
        heads.append(made.head)
    return heads


def test_what_was_sealed_is_found_intact(session: Session, chain: list[str]) -> None:
    enter(session, 2)
    verdict = verify(session)
    assert verdict == audit_chain.Verdict(seals=3, sealed=9, unsealed=2, head=chain[-1], fault=None)
    assert verdict.is_intact


def test_an_empty_log_is_intact(session: Session) -> None:
    assert seal(session) is None
    assert verify(session) == audit_chain.Verdict(0, 0, 0, None, None)


def test_a_seal_holds_a_bounded_number(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_chain, "ENTRIES_OF_A_SEAL", 4)
    enter(session, 10)
    assert [made and made.entries for made in (seal(session), seal(session), seal(session))] == [
        4,
        4,
        2,
    ]
    assert seal(session) is None
    assert verify(session).sealed == 10


def ids(session: Session) -> list[int]:
    return list(session.scalars(sa.select(AuditEntry.id).order_by(AuditEntry.id)))


def edit(session: Session) -> None:
    session.execute(
        sa.update(AuditEntry)
        .where(AuditEntry.id == ids(session)[4])
        .values(subject_id="another report")
    )


def edit_data(session: Session) -> None:
    session.execute(
        sa.update(AuditEntry).where(AuditEntry.id == ids(session)[4]).values(data={"n": 2})
    )


def delete(session: Session) -> None:
    session.execute(sa.delete(AuditEntry).where(AuditEntry.id == ids(session)[4]))


def insert(session: Session) -> None:
    enter(session)
    session.execute(sa.update(AuditEntry).where(AuditEntry.seal_id.is_(None)).values(seal_id=2))


def reorder(session: Session) -> None:
    """Two entries swap what they say."""
    for one, other in ((3, "4"), (4, "3")):
        session.execute(
            sa.update(AuditEntry).where(AuditEntry.id == ids(session)[one]).values(subject_id=other)
        )


def move(session: Session) -> None:
    """An entry goes into the seal before."""
    session.execute(sa.update(AuditEntry).where(AuditEntry.id == ids(session)[3]).values(seal_id=1))


def unseal(session: Session) -> None:
    session.execute(
        sa.update(AuditEntry).where(AuditEntry.id == ids(session)[4]).values(seal_id=None)
    )


def forge_time(session: Session) -> None:
    session.execute(
        sa.update(AuditSeal)
        .where(AuditSeal.id == 2)
        .values(sealed_at=WEDNESDAY - timedelta(days=1))
    )


def drop_seal(session: Session) -> None:
    session.execute(sa.update(AuditEntry).where(AuditEntry.seal_id == 2).values(seal_id=None))
    session.execute(sa.delete(AuditSeal).where(AuditSeal.id == 2))


def seal_with_another_key(session: Session) -> None:
    """An intruder without SECRET_KEY makes the seal anew."""
    edit(session)
    session.execute(sa.update(AuditEntry).where(AuditEntry.seal_id >= 2).values(seal_id=None))
    session.execute(sa.delete(AuditSeal).where(AuditSeal.id >= 2))
    seal(session, secret="a guess")


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (edit, "Seal 2 of .* is broken: an entry"),
        (edit_data, "Seal 2 of .* is broken: an entry"),
        (delete, "Seal 2 .* it was made over 3 entries, 2 are"),
        (insert, "Seal 2 .* it was made over 3 entries, 4 are"),
        (reorder, "Seal 2 .* an entry, or the seal itself, was edited"),
        (move, "Seal 1 .* it was made over 3 entries, 4 are"),
        (unseal, "Seal 2 .* it was made over 3 entries, 2 are"),
        (forge_time, "Seal 2 .* was edited"),
        (drop_seal, "Seal 2 is missing; the next one is 3"),
        (seal_with_another_key, "Seal 2 was made with another SECRET_KEY"),
    ],
)
def test_whatever_is_done_to_the_log_is_found(
    session: Session, chain: list[str], tamper: Callable[[Session], None], says: str
) -> None:
    let_edit(session)
    tamper(session)
    verdict = verify(session)
    assert not verdict.is_intact
    assert verdict.fault is not None
    assert re.search(says, verdict.fault), verdict.fault


def test_a_tail_that_was_cut_off_is_missed_by_whoever_noted_the_head(
    session: Session, chain: list[str]
) -> None:
    let_edit(session)
    session.execute(sa.delete(AuditEntry).where(AuditEntry.seal_id == 3))
    session.execute(sa.delete(AuditSeal).where(AuditSeal.id == 3))
    assert verify(session, heads=chain[:2]).is_intact
    verdict = verify(session, heads=chain)
    assert verdict.fault is not None
    assert chain[2] in verdict.fault


def test_entries_whose_last_seal_was_deleted_are_found(session: Session, chain: list[str]) -> None:
    let_edit(session)
    session.execute(sa.text("ALTER TABLE audit_entries DROP CONSTRAINT fk_audit_entries_seal_id"))
    session.execute(sa.delete(AuditSeal).where(AuditSeal.id == 3))
    assert verify(session).fault == "Seal 3 is missing, and its entries are there."


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET action = 'x'",
        "UPDATE audit_entries SET seal_id = 1",
        "UPDATE audit_entries SET seal_id = NULL WHERE seal_id = 3",
        "UPDATE audit_entries SET seal_id = 3, action = 'x' WHERE seal_id IS NULL",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "UPDATE audit_seals SET entries = 0",
        "DELETE FROM audit_seals",
        "TRUNCATE audit_seals CASCADE",
    ],
)
def test_the_database_itself_refuses_to_edit_the_log(
    session: Session, chain: list[str], statement: str
) -> None:
    enter(session)
    with pytest.raises(sa.exc.DBAPIError, match="appended to, never edited"):
        session.execute(sa.text(statement))


def test_a_new_secret_key_goes_on_from_the_old_chain(session: Session, chain: list[str]) -> None:
    enter(session)
    assert seal(session, secret="the new key") is not None
    verdict = verify(session, secret="the new key")
    assert verdict.fault is not None
    assert "--former-key" in verdict.fault
    assert verify(session, secret="the new key", former=[SECRET]).is_intact
    assert verify(session, secret="the new key", former=[SECRET], heads=chain).seals == 4


def test_entries_are_sealed_whatever_transaction_they_came_with(
    committed_db: Flask,
) -> None:
    """One that commits late is in a later seal; none waits for another."""
    with committed_db.app_context(), db.engine.connect() as slow, db.engine.connect() as quick:
        audit.record(slow, OPERATOR, Action.CITY_CHANGED, now=WEDNESDAY)
        audit.record(quick, OPERATOR, Action.CITY_CHANGED, now=WEDNESDAY)
        quick.commit()
        with transaction() as session:
            first = seal(session)
        slow.commit()
        with transaction() as session:
            second = seal(session)
        with transaction() as session:
            assert seal(session) is None
            verdict = verify(session)
    assert first is not None
    assert second is not None
    assert (first.entries, second.entries) == (1, 1)
    assert (verdict.sealed, verdict.is_intact) == (2, True)


def test_one_seals_at_a_time(committed_db: Flask) -> None:
    with committed_db.app_context(), db.engine.connect() as other:
        with transaction() as session:
            enter(session, 2)
        other.execute(sa.select(sa.func.pg_advisory_xact_lock(audit_chain._LOCK)))
        with transaction() as session:
            assert seal(session) is None
        other.rollback()
        with transaction() as session:
            assert seal(session) is not None


def test_the_beat_seals_and_logs_the_head(session: Session, app: Flask) -> None:
    enter(session, 3)
    session.commit()
    with app.app_context():
        sweeper.seal_audit()
    made = session.scalars(sa.select(AuditSeal)).one()
    assert made.entries == 3
    assert verify(session, secret=app.config["SECRET_KEY"]).head == bytes(made.hash).hex()
