"""What may be used once is used once; keys of writes are tried where the writes are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from core import idempotency

NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)


def test_something_is_used_up_by_its_first_use(session: Session) -> None:
    assert idempotency.spend(session, "oidc", "a state", now=NOW) is True
    assert idempotency.spend(session, "oidc", "a state", now=NOW) is False
    assert idempotency.spend(session, "oidc", "a state", now=NOW + timedelta(hours=23)) is False
    assert idempotency.spend(session, "oidc", "another", now=NOW) is True
    assert idempotency.spend(session, "something else", "a state", now=NOW) is True


def test_what_was_used_up_is_forgotten_with_the_answers_that_are_kept(session: Session) -> None:
    idempotency.spend(session, "oidc", "a state", now=NOW)
    assert idempotency.clear(session, now=NOW + idempotency.KEPT_FOR) == 0
    assert idempotency.clear(session, now=NOW + timedelta(hours=25)) == 1
