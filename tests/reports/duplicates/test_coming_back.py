"""Told again after its repair: reopened or new, as the service says; never by itself otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.models import OutboxEvent
from geo.measures import Point
from notifications import announcing
from notifications.models import Delivery
from reports.duplicates.recurring import Fate, fate_of, same_spot
from reports.duplicates.rules import (
    Candidate,
    Decision,
    FirstRule,
    Outcome,
    Ranked,
    Scope,
    Verdicts,
)
from reports.duplicates.rules import Features as Told
from reports.models import HistoryEntry, Service, ServiceRequest
from reports.triage import triage
from reports.vocabulary import Recurrence, Source, Status
from tests.factories import (
    COMEDIE,
    new_follower,
    new_jurisdiction,
    new_report,
    new_service,
    new_team,
    stored,
)

NOON = datetime(2026, 3, 11, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours_after", "is_repaired", "recurrence", "expected"),
    [
        (None, True, Recurrence.REOPEN, Fate.JOINS),
        (5, True, Recurrence.REOPEN, Fate.REOPENS),
        (5, True, Recurrence.NEW, Fate.RECURS),
        (24 * 30, True, Recurrence.REOPEN, Fate.REOPENS),
        (24 * 30 + 1, True, Recurrence.REOPEN, Fate.APART),
        (24 * 30 + 1, True, Recurrence.NEW, Fate.APART),
        (5, False, Recurrence.REOPEN, Fate.SUGGESTED),
        (-1, True, Recurrence.REOPEN, Fate.SUGGESTED),
    ],
)
def test_what_becomes_of_a_report_that_repeats_one_which_is_over(
    hours_after: float | None, is_repaired: bool, recurrence: Recurrence, expected: Fate
) -> None:
    over_at = None if hours_after is None else NOON - timedelta(hours=hours_after)
    found = fate_of(NOON, over_at, is_repaired=is_repaired, recurrence=recurrence, days=30)
    assert found is expected


class LooksBack(FirstRule):
    """Joins to the best candidate, whether it is open or not."""

    name = "looks-back/1"

    def search(self, report: Told) -> Any:
        since = report.requested_at - timedelta(days=90)
        return replace(super().search(report), closed_since=since)

    def decide(self, report: Told, candidates: Any, verdicts: Verdicts) -> Decision:
        allowed = [item for item in candidates if item.id not in verdicts.not_same]
        ranked = tuple(Ranked(item, 0.9, ()) for item in sorted(allowed, key=_open_first))
        if not ranked:
            return Decision(Outcome.APART)
        return Decision(Outcome.JOINED, ranked[0].candidate.id, 0.9, (), ranked)


def _open_first(candidate: Candidate) -> tuple[bool, str]:
    return candidate.closed_at is not None, str(candidate.id)


def new_city(session: Session, **values: Any) -> Service:
    city = new_jurisdiction(session)
    team = new_team(session, city)
    service = new_service(session, city, **{"recurrence": "reopen", **values})
    service.team = team  # type: ignore[attr-defined]
    return service


def repaired(session: Session, service: Service, days: float = 3, **values: Any) -> ServiceRequest:
    over = utc_now() - timedelta(days=days)
    return new_report(
        session,
        service,
        requested_at=over - timedelta(days=2),
        **{
            "status": Status.CLOSED,
            "team": service.team,  # type: ignore[attr-defined]
            "resolved_at": over,
            "closed_at": over,
            **values,
        },
    )


def test_a_problem_that_comes_back_opens_its_report_again_and_joins_it(session: Session) -> None:
    service = new_city(session)
    first = repaired(session, service)
    waits = new_follower(session, first, is_reporter=True)
    again, third = new_report(session, service), new_report(session, service)
    told_it = new_follower(session, again, is_reporter=True)
    done = triage(session, [again.id, third.id], now=utc_now(), judge=LooksBack())
    assert done.joined == 2
    session.expire_all()
    assert (first.status, first.resolved_at, first.closed_at) == ("reopened", None, None)
    assert first.joined_count == 2
    assert {again.parent_id, third.parent_id} == {first.id}
    [entry] = stored(session, HistoryEntry, report_id=first.id, to_status="reopened")
    assert (entry.actor_kind, entry.data["reason"]) == ("system", "recurred")
    assert entry.data["duplicate_id"] == str(again.id)
    # Who waited hears that it is open again; who told of it again hears that it was joined.
    events = stored(session, OutboxEvent)
    announcing.announce(session, events, now=utc_now())
    heard = {(row.recipient_id, row.event) for row in stored(session, Delivery)}
    assert heard == {(str(waits.id), "reopened"), (str(told_it.id), "merged")}


def test_where_the_service_says_new_it_stands_for_itself_and_names_the_repaired_one(
    session: Session,
) -> None:
    service = new_city(session, recurrence="new")
    first = repaired(session, service)
    again, third = new_report(session, service), new_report(session, service)
    triage(session, [again.id, third.id], now=utc_now(), judge=LooksBack())
    session.expire_all()
    assert (again.status, again.parent_id, again.recurs_id) == ("received", None, first.id)
    # The next one joins the new one, which is open.
    assert (third.parent_id, third.recurs_id) == (again.id, None)
    assert first.status == "closed"
    [entry] = stored(session, HistoryEntry, report_id=again.id, kind="recurred")
    assert entry.data == {"recurs_id": str(first.id)}


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"status": Status.REJECTED, "resolved_at": None}, "rejected"),
        ({"status": Status.CLOSED, "resolved_at": None}, "withdrawn"),
    ],
)
def test_what_was_never_repaired_is_only_suggested(
    session: Session, values: dict[str, Any], status: str
) -> None:
    service = new_city(session)
    first = repaired(session, service, **values)
    again = new_report(session, service)
    done = triage(session, [again.id], now=utc_now(), judge=LooksBack())
    assert (done.joined, done.suggested) == (0, 1)
    session.refresh(again)
    assert (again.parent_id, again.suggested_id) == (None, first.id)


@pytest.mark.parametrize("days", [0.1, 3, 20])
def test_what_is_told_again_at_the_very_spot_has_come_back_whatever_the_judge_says(
    session: Session, days: float
) -> None:
    service = new_city(session)
    first = repaired(session, service, days=days)
    again = new_report(session, service, description="Encore un trou")
    triage(session, [again.id], now=utc_now())
    session.expire_all()
    assert (first.status, again.parent_id, first.joined_count) == ("reopened", first.id, 1)
    codes = [reason["code"] for reason in again.duplicate["reasons"]]
    assert codes == ["same_service", "distance", "closed"]
    # The next one joins it as any other, or is asked about.
    third = new_report(session, service)
    triage(session, [third.id], now=utc_now())
    session.expire_all()
    assert first.id in (third.parent_id, third.suggested_id)


def test_at_the_very_spot_of_a_service_that_says_new_it_names_the_repaired_one(
    session: Session,
) -> None:
    service = new_city(session, recurrence="new")
    first = repaired(session, service)
    again = new_report(session, service)
    triage(session, [again.id], now=utc_now())
    session.expire_all()
    assert (first.status, again.parent_id, again.recurs_id) == ("closed", None, first.id)


def test_some_metres_away_nothing_comes_back_by_itself(session: Session) -> None:
    service = new_city(session)
    first = repaired(session, service)
    again = new_report(session, service, at=Point(COMEDIE.lat + 9 / 111_200, COMEDIE.lon))
    triage(session, [again.id], now=utc_now())
    session.expire_all()
    assert (first.status, again.parent_id, again.recurs_id) == ("closed", None, None)


def test_what_its_reporter_calls_another_one_opens_nothing_again(session: Session) -> None:
    service = new_city(session)
    first = repaired(session, service)
    again = new_report(session, service, not_same_as=[first.id])
    triage(session, [again.id], now=utc_now())
    session.expire_all()
    assert (first.status, again.parent_id, again.recurs_id) == ("closed", None, None)


def test_what_is_open_at_the_spot_goes_before_what_was_repaired_there(session: Session) -> None:
    service = new_city(session)
    first = repaired(session, service)
    new_report(session, service, status=Status.TRIAGED, triaged_at=utc_now(), team=service.team)  # type: ignore[attr-defined]
    again = new_report(session, service)
    triage(session, [again.id], now=utc_now())
    session.expire_all()
    assert first.status == "closed"
    assert again.parent_id != first.id


def test_another_asset_or_service_at_the_spot_is_another_thing() -> None:
    scope = Scope("holes", (7,), 30.0, 30.0)
    lamp, other = UUID(int=1), UUID(int=2)
    told = Told(UUID(int=3), 7, NOON, COMEDIE, scope, asset_id=lamp)
    was = Candidate(UUID(int=4), 7, NOON, COMEDIE, asset_id=lamp)
    far = Point(COMEDIE.lat + 20 / 111_200, COMEDIE.lon)
    assert [reason.code for reason in same_spot(told, replace(was, point=far))] == [
        "same_asset",
        "same_service",
        "distance",
    ]
    assert same_spot(told, replace(was, asset_id=None))
    assert not same_spot(told, replace(was, asset_id=other))
    assert not same_spot(told, replace(was, service_id=8))
    assert not same_spot(replace(told, asset_id=None), replace(was, point=None))


def test_after_the_days_of_recurrence_it_is_another_problem(session: Session) -> None:
    service = new_city(session, recurrence_days=7)
    repaired(session, service, days=8)
    again = new_report(session, service)
    triage(session, [again.id], now=utc_now(), judge=LooksBack())
    session.refresh(again)
    assert (again.parent_id, again.recurs_id, again.suggested_id) == (None, None, None)


def test_a_past_that_is_replayed_opens_nothing_again(session: Session) -> None:
    service = new_city(session)
    first = repaired(session, service)
    again = new_report(session, service, source=Source.IMPORT)
    triage(session, [again.id], now=utc_now(), judge=LooksBack())
    session.expire_all()
    assert (first.status, again.recurs_id) == ("closed", first.id)


def test_what_a_citizen_names_as_the_same_comes_back_too(session: Session) -> None:
    service = new_city(session)
    first = repaired(session, service)
    again = new_report(session, service, same_as=first.id)
    triage(session, [again.id], now=utc_now())
    session.expire_all()
    assert (first.status, again.parent_id) == ("reopened", first.id)
