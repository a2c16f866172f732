"""What teams are sent, how often, and that a restart repeats nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Team
from core.ids import new_id
from geo.models import Jurisdiction
from notifications import digests
from notifications.models import Delivery, DigestRun
from reports.history import SYSTEM, Entry, append
from reports.models import ServiceRequest
from reports.vocabulary import HistoryKind, Status
from sensing.acting.models import DefectCase
from sensing.acting.vocabulary import CaseState
from tests.factories import new_jurisdiction, new_report, new_service, new_team
from tests.notifications.conftest import letters, send_due

#: A Wednesday, 08:00 in Montpellier.
MORNING = datetime(2026, 3, 11, 7, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def team(session: Session) -> Team:
    return new_team(session, new_jurisdiction(session), digest="daily")


def work(session: Session, team: Team, at: datetime, **values: Any) -> ServiceRequest:
    """A report that was routed to the team at that instant."""
    service = session.info.setdefault(
        team.jurisdiction_id,
        new_service(session, _city(session, team)),
    )
    given = {"status": Status.TRIAGED, "due_at": at + 30 * DAY, **values}
    return new_report(session, service, team=team, requested_at=at, triaged_at=at, **given)


def _city(session: Session, team: Team) -> Any:
    return session.get_one(Jurisdiction, team.jurisdiction_id)


def digest(session: Session, folder: Any, outbox: Path, now: datetime) -> list[str]:
    """The digests that go out at that instant."""
    before = len(letters(outbox))
    digests.queue_due(session, now=now)
    send_due(session, folder, now=now)
    return letters(outbox)[before:]


def test_a_daily_digest_says_what_is_new_and_what_is_late(
    session: Session, folder: Any, outbox: Path, team: Team
) -> None:
    new = work(session, team, MORNING - HOUR)
    late = work(session, team, MORNING - 20 * DAY, due_at=MORNING - DAY)
    work(session, team, MORNING - 20 * DAY)
    work(session, team, MORNING - 20 * DAY, due_at=MORNING - DAY, status=Status.ON_HOLD)
    work(session, team, MORNING - 20 * DAY, due_at=MORNING - DAY, status=Status.RESOLVED)
    (letter,) = digest(session, folder, outbox, MORNING)
    assert f"To: {team.email}\n" in letter
    assert "1 nouveau signalement, 1 en retard" in letter
    assert f"n° {new.number} · " in letter
    assert f"n° {late.number} · " in letter
    assert letter.count("  - n° ") == 2
    # A page to read; the queue itself answers nobody who only follows a link.
    assert f"https://riverain.example/staff/queues/{team.code}\n" in letter


def test_a_window_is_told_once_however_often_the_beat_comes(
    session: Session, folder: Any, outbox: Path, team: Team
) -> None:
    work(session, team, MORNING - HOUR)
    assert len(digest(session, folder, outbox, MORNING)) == 1
    assert digest(session, folder, outbox, MORNING + timedelta(minutes=1)) == []
    assert digest(session, folder, outbox, MORNING + 3 * HOUR) == []
    assert session.scalar(sa.select(sa.func.count()).select_from(DigestRun)) == 1


def test_the_next_digest_goes_on_where_the_last_one_ended(
    session: Session, folder: Any, outbox: Path, team: Team
) -> None:
    work(session, team, MORNING - HOUR)
    digest(session, folder, outbox, MORNING)
    later = work(session, team, MORNING + HOUR)
    # Friday's was missed: the machine was down. Monday's covers both days and the week-end.
    (letter,) = digest(session, folder, outbox, MORNING + 5 * DAY + HOUR)
    assert "1 nouveau signalement" in letter
    assert f"n° {later.number} · " in letter
    windows = session.execute(
        sa.select(DigestRun.window_start, DigestRun.window_end).order_by(DigestRun.id)
    ).all()
    assert windows[1] == (MORNING, MORNING + 5 * DAY)


def test_nothing_to_say_is_not_said(
    session: Session, folder: Any, outbox: Path, team: Team
) -> None:
    work(session, team, MORNING - 20 * DAY)
    assert digest(session, folder, outbox, MORNING) == []
    assert session.scalar(sa.select(sa.func.count()).select_from(DigestRun)) == 0


def test_week_ends_and_holidays_are_free(
    session: Session, folder: Any, outbox: Path, team: Team
) -> None:
    saturday = MORNING + 3 * DAY
    digest(session, folder, outbox, MORNING + 2 * DAY)
    work(session, team, saturday - HOUR)
    first_of_may = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)
    work(session, team, first_of_may - HOUR)
    assert digest(session, folder, outbox, saturday) == []
    assert len(digest(session, folder, outbox, saturday + 2 * DAY)) == 1
    assert "2 en retard" not in "".join(digest(session, folder, outbox, first_of_may + HOUR))


def test_an_hourly_digest_does_not_repeat_what_stays_late(
    session: Session, folder: Any, outbox: Path
) -> None:
    team = new_team(session, new_jurisdiction(session), digest="hourly", locale="en")
    work(session, team, MORNING - 9 * DAY, due_at=MORNING + timedelta(minutes=30))
    assert digest(session, folder, outbox, MORNING) == []
    (letter,) = digest(session, folder, outbox, MORNING + HOUR)
    assert "1 overdue" in letter
    assert "Locale: en\n" in letter
    assert digest(session, folder, outbox, MORNING + 2 * HOUR) == []
    work(session, team, MORNING + 2 * HOUR + timedelta(minutes=5))
    (letter,) = digest(session, folder, outbox, MORNING + 3 * HOUR)
    assert "1 new report, 1 overdue" in letter


def test_a_team_may_hear_within_a_minute_or_not_at_all(
    session: Session, folder: Any, outbox: Path
) -> None:
    city = new_jurisdiction(session)
    quick = new_team(session, city, digest="immediately")
    silent = new_team(session, city, digest="off")
    unreachable = new_team(session, city, digest="immediately", email=None)
    for team in (quick, silent, unreachable):
        work(session, team, MORNING + timedelta(seconds=20))
    assert digest(session, folder, outbox, MORNING + timedelta(seconds=30)) == []
    (letter,) = digest(session, folder, outbox, MORNING + timedelta(seconds=61))
    assert f"To: {quick.email}\n" in letter
    assert digest(session, folder, outbox, MORNING + timedelta(seconds=125)) == []


def test_work_that_is_moved_to_a_team_is_new_to_it(
    session: Session, folder: Any, outbox: Path, team: Team
) -> None:
    report = work(session, team, MORNING - 20 * DAY)
    append(session, [Entry(report.id, HistoryKind.ROUTED, SYSTEM)], now=MORNING - HOUR)
    (letter,) = digest(session, folder, outbox, MORNING)
    assert "1 nouveau signalement" in letter


def test_a_long_list_is_cut_and_counted(
    session: Session, folder: Any, outbox: Path, team: Team
) -> None:
    for _ in range(digests.LISTED + 3):
        work(session, team, MORNING - HOUR)
    (letter,) = digest(session, folder, outbox, MORNING)
    assert letter.count("  - n° ") == digests.LISTED
    assert "… et 3 autres" in letter


def test_a_digest_is_one_delivery(session: Session, folder: Any, team: Team) -> None:
    work(session, team, MORNING - HOUR)
    digests.queue_due(session, now=MORNING)
    (delivery,) = session.scalars(sa.select(Delivery))
    assert (delivery.recipient_kind, delivery.recipient_id) == ("team", str(team.id))
    assert delivery.channel == "email"


@pytest.mark.parametrize(
    ("locale", "told"),
    [
        (
            "fr",
            ["1 réparation confirmée", "Réparations de chaussée qui tiennent", "n° {number}"],
        ),
        ("en", ["1 repair confirmed", "Repairs of roads that hold", "no. {number}"]),
    ],
)
def test_a_repair_that_later_trips_confirmed_is_told_to_its_team(
    session: Session, folder: Any, outbox: Path, team: Team, locale: str, told: list[str]
) -> None:
    team.locale = locale
    mended = work(session, team, MORNING - 20 * DAY, status=Status.RESOLVED)
    session.add(
        DefectCase(
            jurisdiction_id=team.jurisdiction_id,
            defect_id=new_id(),
            packet=1,
            cell=1,
            octant=0,
            place_cell=1,
            lat=43.6,
            lon=3.9,
            report_id=mended.id,
            is_opened=True,
            state=CaseState.CONFIRMED.value,
            hits=14,
            said_hits=14,
            witnesses=2,
            opened_at=MORNING - 20 * DAY,
            confirmed_at=MORNING - 2 * HOUR,
        )
    )
    session.flush()
    [letter] = digest(session, folder, outbox, MORNING)
    for each in told:
        assert each.format(number=mended.number) in letter.replace("\u00a0", " ")
    # In the next window it is no news any more.
    assert digest(session, folder, outbox, MORNING + DAY) == []
