"""Digests for teams: new work, what is overdue, repairs that hold; as often as each team chose.

1. `queue_due` (run by the beat every minute) finds whose window has ended and has something to say,
   remembers the window and queues one e-mail, in one transaction: a restart repeats nothing.
2. `work_of` and `facts_of` make the content when the e-mail is sent, so that it is not stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session, aliased

from accounts.models import DigestChoice, Team
from core.i18n import language_of, pick
from core.ids import new_id
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from notifications.messages import Claimed
from notifications.models import DigestRun
from notifications.queueing import queue
from notifications.rules import Window, digest_window
from notifications.vocabulary import Channel, Occasion, RecipientKind
from notifications.wording import Facts, Row, clock_in, day_in
from reports.catalogue import Catalogue
from reports.models import HistoryEntry, ServiceRequest
from reports.routing.deciding import closed_days_of
from reports.service_levels import WorkCalendar
from reports.vocabulary import OPEN_STATUSES, HistoryKind, Status
from sensing.acting.models import DefectCase

#: Reports that a digest lists of each kind; the queue itself has all of them.
LISTED = 20


@dataclass(frozen=True, slots=True)
class Listed:
    """A report in a digest."""

    number: int
    service_id: int
    address: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Work:
    """What a team's digest has to say."""

    window: Window
    new_count: int
    overdue_count: int
    new: Sequence[Listed]
    overdue: Sequence[Listed]
    #: Repairs of roads that later trips confirmed by silence.
    confirmed: Sequence[Listed] = ()


def queue_due(session: Session, *, now: datetime) -> list[UUID]:
    """Queue the digests that are due; the ids of their deliveries. In the caller's transaction.

    A window without news is not remembered: the next one reaches back to the last digest.
    """
    last = (
        sa.select(sa.func.max(DigestRun.window_end))
        .where(DigestRun.team_id == Team.id)
        .scalar_subquery()
    )
    teams = session.execute(
        sa.select(
            Team.id,
            Team.jurisdiction_id,
            Team.locale,
            Team.digest,
            Team.calendar,
            last.label("last_end"),
        )
        .where(
            Team.is_active,
            Team.email.is_not(None),
            Team.digest != DigestChoice.OFF.value,
        )
        .order_by(Team.id)
    ).all()
    windows: dict[int, Window] = {}
    for team in teams:
        place = jurisdictions.by_id(session, team.jurisdiction_id)
        calendar = _calendar(team.calendar, place)
        window = digest_window(team.digest, team.last_end, now, place.time_zone, calendar.works_on)
        if window is not None:
            windows[team.id] = window
    counts = _counts(session, windows)
    worth = [team for team in teams if team.id in windows and _is_worth(team, counts)]
    if not worth:
        return []
    runs = session.execute(
        postgresql.insert(DigestRun)
        .on_conflict_do_nothing()
        .returning(DigestRun.id, DigestRun.team_id),
        [
            {
                "team_id": team.id,
                "window_start": windows[team.id].start,
                "window_end": windows[team.id].end,
            }
            for team in worth
        ],
    ).all()
    by_team = {team.id: team for team in worth}
    rows = []
    for run in runs:
        team = by_team[run.team_id]
        place = jurisdictions.by_id(session, team.jurisdiction_id)
        window = windows[team.id]
        rows.append(
            {
                "id": new_id(),
                # Teams are sent nothing but digests, so the run can stand for the event.
                "event_id": run.id,
                "event": Occasion.DIGEST.value,
                "jurisdiction_id": team.jurisdiction_id,
                "report_id": None,
                "recipient_kind": RecipientKind.TEAM.value,
                "recipient_id": str(team.id),
                "channel": Channel.EMAIL.value,
                "locale": language_of(team.locale or place.default_locale),
                "data": {"start": window.start.isoformat(), "end": window.end.isoformat()},
                "created_at": now,
                "next_attempt_at": now,
            }
        )
    return queue(session, rows, now=now)


def work_of(session: Session, claimed: Sequence[Claimed]) -> dict[UUID, Work]:
    """By delivery: what each of these digests has to say, with three statements for all."""
    if not claimed:
        return {}
    windows = {
        one.id: Window(
            datetime.fromisoformat(one.data["start"]), datetime.fromisoformat(one.data["end"])
        )
        for one in claimed
    }
    asked = _asked([(str(one.id), int(one.recipient_id), windows[one.id]) for one in claimed])
    new = _first(session, asked, _is_new(asked))
    overdue = _first(session, asked, _is_overdue(asked))
    confirmed = _confirmed(session, asked)
    return {
        one.id: Work(
            window=windows[one.id],
            new_count=_total(new.get(str(one.id))),
            overdue_count=_total(overdue.get(str(one.id))),
            new=_listed(new.get(str(one.id))),
            overdue=_listed(overdue.get(str(one.id))),
            confirmed=_listed(confirmed.get(str(one.id))),
        )
        for one in claimed
    }


def facts_of(
    work: Work,
    *,
    locale: str,
    place: JurisdictionRef,
    catalogue: Catalogue,
    team_name: str,
    city: str,
    link: str,
) -> Facts:
    """A digest's facts in the team's language."""

    def rows(listed: Sequence[Listed]) -> list[Row]:
        return [
            Row(
                number=one.number,
                service=pick(catalogue.by_id[one.service_id].names, locale, place.default_locale),
                address=one.address,
                due_on=(
                    day_in(locale, place.country, one.due_at.astimezone(place.time_zone).date())
                    if one.due_at
                    else ""
                ),
            )
            for one in listed
        ]

    start = work.window.start
    since = day_in(locale, place.country, start.astimezone(place.time_zone).date())
    return Facts(
        city=city,
        team=team_name,
        since=f"{since}, {clock_in(locale, place.country, place.time_zone, start)}",
        new_count=work.new_count,
        overdue_count=work.overdue_count,
        new_rows=rows(work.new),
        overdue_rows=rows(work.overdue),
        confirmed_count=len(work.confirmed),
        confirmed_rows=rows(work.confirmed[:LISTED]),
        link=link,
    )


def _calendar(data: Mapping[str, Any], place: JurisdictionRef) -> WorkCalendar:
    closed: frozenset[date] = closed_days_of(place)
    return WorkCalendar.from_data(
        data,
        time_zone=place.time_zone.key,
        country=place.country,
        subdivision=place.subdivision,
        closed_days=closed,
    )


def _is_worth(team: Any, counts: Mapping[int, tuple[int, int, int, int]]) -> bool:
    """Whether there is something to say. What stays overdue is repeated daily, not hourly."""
    new, overdue, newly_overdue, confirmed = counts.get(team.id, (0, 0, 0, 0))
    if team.digest == DigestChoice.DAILY:
        return new + overdue + confirmed > 0
    return new + newly_overdue + confirmed > 0


def _counts(
    session: Session, windows: Mapping[int, Window]
) -> dict[int, tuple[int, int, int, int]]:
    """By team: new reports, overdue ones, those that became so within the window, and repairs that
    were confirmed in it."""
    if not windows:
        return {}
    asked = _asked([(str(team_id), team_id, window) for team_id, window in windows.items()])
    rows = session.execute(
        sa.select(
            asked.c.team_id,
            sa.func.count().filter(_is_new(asked)).label("new"),
            sa.func.count().filter(_is_overdue(asked)).label("overdue"),
            sa.func.count()
            .filter(_is_overdue(asked), ServiceRequest.due_at >= asked.c.starts)
            .label("newly"),
        )
        .join(ServiceRequest, ServiceRequest.team_id == asked.c.team_id)
        .where(_is_open())
        .group_by(asked.c.team_id)
    )
    counts = {row.team_id: (row.new, row.overdue, row.newly) for row in rows}
    confirmed = _confirmed(session, asked)
    return {
        team_id: (*counts.get(team_id, (0, 0, 0)), len(confirmed.get(str(team_id), ())))
        for team_id in windows
    }


def _asked(wanted: Sequence[tuple[str, int, Window]]) -> sa.Subquery:
    """The digests in question as rows: key, team, window."""
    return sa.select(
        sa.func.unnest(sa.cast([key for key, _, _ in wanted], postgresql.ARRAY(sa.Text()))).label(
            "key"
        ),
        sa.func.unnest(
            sa.cast([team for _, team, _ in wanted], postgresql.ARRAY(sa.Integer()))
        ).label("team_id"),
        sa.func.unnest(
            sa.cast(
                [window.start for _, _, window in wanted],
                postgresql.ARRAY(sa.DateTime(timezone=True)),
            )
        ).label("starts"),
        sa.func.unnest(
            sa.cast(
                [window.end for _, _, window in wanted],
                postgresql.ARRAY(sa.DateTime(timezone=True)),
            )
        ).label("ends"),
    ).subquery("asked")


def _is_open() -> sa.ColumnElement[bool]:
    # Written out as the partial index of queues is, so that it serves.
    return ServiceRequest.status.in_([status.value for status in OPEN_STATUSES])


def _is_new(asked: sa.Subquery) -> sa.ColumnElement[bool]:
    """Routed or moved to the team within the window."""
    return sa.or_(
        sa.and_(
            ServiceRequest.triaged_at >= asked.c.starts, ServiceRequest.triaged_at < asked.c.ends
        ),
        sa.exists(
            sa.select(HistoryEntry.id).where(
                HistoryEntry.report_id == ServiceRequest.id,
                HistoryEntry.kind == HistoryKind.ROUTED.value,
                HistoryEntry.at >= asked.c.starts,
                HistoryEntry.at < asked.c.ends,
            )
        ),
    )


def _is_overdue(asked: sa.Subquery) -> sa.ColumnElement[bool]:
    """Past its date at the end of the window, and not waiting for somebody else."""
    return sa.and_(
        ServiceRequest.due_at < asked.c.ends, ServiceRequest.status != Status.ON_HOLD.value
    )


def _first(
    session: Session, asked: sa.Subquery, condition: sa.ColumnElement[bool]
) -> dict[str, list[Any]]:
    """By digest: the first reports under a condition, most urgent first, each with the total."""
    ranked = (
        sa.select(
            asked.c.key,
            ServiceRequest.number,
            ServiceRequest.service_id,
            sa.func.coalesce(
                ServiceRequest.address, ServiceRequest.address_given, sa.literal("")
            ).label("address"),
            ServiceRequest.due_at,
            sa.func.count().over(partition_by=asked.c.key).label("total"),
            sa.func.row_number()
            .over(
                partition_by=asked.c.key,
                order_by=(ServiceRequest.due_at.asc().nulls_last(), ServiceRequest.id),
            )
            .label("rank"),
        )
        .join(ServiceRequest, ServiceRequest.team_id == asked.c.team_id)
        .where(_is_open(), condition)
        .subquery("ranked")
    )
    rows = session.execute(
        sa.select(ranked).where(ranked.c.rank <= LISTED).order_by(ranked.c.key, ranked.c.rank)
    )
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    return found


def _confirmed(session: Session, asked: sa.Subquery) -> dict[str, list[Any]]:
    """By digest: requests of the team whose repair was confirmed in the window, by number."""
    own, leader = aliased(ServiceRequest), aliased(ServiceRequest)
    rows = session.execute(
        sa.select(
            asked.c.key,
            leader.number,
            leader.service_id,
            sa.func.coalesce(leader.address, leader.address_given, sa.literal("")).label("address"),
            sa.null().label("due_at"),
        )
        .join(
            DefectCase,
            sa.and_(
                DefectCase.confirmed_at >= asked.c.starts, DefectCase.confirmed_at < asked.c.ends
            ),
        )
        .join(own, own.id == DefectCase.report_id)
        .join(
            leader,
            sa.and_(
                leader.id == sa.func.coalesce(own.parent_id, own.id),
                leader.team_id == asked.c.team_id,
            ),
        )
        # Two holes that were one piece of work are one request.
        .distinct()
        .order_by(asked.c.key, leader.number)
    )
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    return found


def _total(rows: Sequence[Any] | None) -> int:
    return rows[0].total if rows else 0


def _listed(rows: Sequence[Any] | None) -> list[Listed]:
    return [Listed(row.number, row.service_id, row.address, row.due_at) for row in rows or ()]
