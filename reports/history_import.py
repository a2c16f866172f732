"""A city's past, replayed: old cases go through intake and pipeline as if it were then.

1. `plan` finds the service of each case's type and what an earlier run has brought in already, and
   lays openings and closings in one line of time.
2. `batches` cuts that line so that what was open at each moment is what the pipeline finds open:
   within a batch all openings are worked on before all closings, so a batch ends before an opening
   that an earlier closing in it could matter to: one of the same family, within the duplicate
   judge's reach.
3. `bring_in` runs a batch in the caller's transaction by the services that new reports go through
   (`submission.submit`, `locating.locate`, `asset_linking.link`, `triage.triage`), with the times
   of then.
4. `compare` says what became of all cases of the file, beside what their city had decided.

Going on after an interruption needs no notes: a case's id follows from the city and the other
system's id, and a batch is stored whole or not at all. So is a later file of the same city: what is
there is skipped, and what was closed since is closed.

Labels of duplicates are nobody's business here, and the city's own columns decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.actors import ANONYMOUS
from accounts.models import Team
from core import outbox
from core.errors import DomainError
from core.text import fold
from geo import loading as geo_loading
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point, distance_m
from reports import asset_linking, events, history, locating
from reports import triage as triaging
from reports.asset_linking import AssetFinder
from reports.case_files import BadRow, CaseFile, Fault, PastCase
from reports.catalogue import Catalogue, ServiceEntry, catalogue_of
from reports.duplicates import finding, suggestions
from reports.duplicates.finding import Neighbourhoods
from reports.duplicates.rules import DuplicateJudge
from reports.history import Author, Entry
from reports.loading import RECURRENCE_DAYS, ServiceSpec, add_services
from reports.routing.deciding import AssetOwners
from reports.rules import Facts, check_move
from reports.submission import Caller, Draft, submit
from reports.vocabulary import (
    ActorKind,
    HistoryKind,
    Recurrence,
    ServiceKind,
    Source,
    Status,
)

#: Openings and closings of one transaction: enough for set-based steps, soon enough for a bar.
BATCH = 1_000

#: Who sends past cases. No network address reads like this, so nobody else can be that sender.
_CALLER = Caller(actor=ANONYMOUS, address="history import", default_source=Source.IMPORT)

#: The city's staff closed the case; which of them its file does not say.
_CLOSER = Author(ActorKind.MACHINE)

#: A closing goes this way, both steps at one instant: the city's record knows only the end.
_CLOSING = (Status.RESOLVED, Status.CLOSED)

#: No degree of latitude is shorter, in metres: a cheap look before the distance is measured.
_SHORTEST_DEGREE_M = 110_500.0

#: Layers of areas that the `ward` column may name.
_WARD_LAYERS = ("wards", "ward")

#: Without words in the city's policy: what a service gets that no folder describes.
_RADIUS_M, _DAYS, _REOPEN_DAYS, _CLOSE_AFTER_DAYS = 30.0, 30.0, 14, 14


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do.

    Attributes:
        moments: openings and closings in the order of time, each as (case, is it its opening).
        known: cases of the file that an earlier run brought in.
        bad: rows of types that the catalogue does not have.
        judge: who decides about duplicates.
    """

    place: JurisdictionRef
    services: Mapping[str, ServiceEntry] = field(repr=False)
    ids: Mapping[str, UUID] = field(repr=False)
    moments: Sequence[tuple[PastCase, bool]] = field(repr=False)
    known: frozenset[str] = field(repr=False)
    bad: Sequence[BadRow]
    judge: DuplicateJudge


@dataclass(frozen=True, slots=True)
class Batch:
    """Openings, then closings, each in the order of time."""

    openings: Sequence[PastCase]
    closings: Sequence[PastCase]

    def __len__(self) -> int:
        return len(self.openings) + len(self.closings)


@dataclass(frozen=True, slots=True)
class Register:
    """Who knows the city's assets: which one a case is about, and whose it is."""

    finder: AssetFinder
    owners: AssetOwners


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch did: how many it brought in and closed, and the rows that intake refused."""

    imported: int
    closed: int
    bad: Sequence[BadRow]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often we and the city say the same, of those where both say something."""

    same: int = 0
    of: int = 0

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where there is nothing to compare."""
        return round(self.same / self.of, 4) if self.of else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of the cases of a file.

    Attributes:
        placed: those with a position; the others wait for a place.
        joined: found to repeat another report.
        closings: how many the file has of them, `closed` of which are applied; those of joined
            reports count in neither, because such a report follows its parent.
        department, queue: of reports that were routed by themselves.
        ward: of reports with a position.
    """

    imported: int
    placed: int
    needs_place: int
    joined: int
    suggested: int
    routed: int
    without_team: int
    closings: int
    closed: int
    still_open: int
    department: Agreement
    queue: Agreement
    ward: Agreement


def id_of(place: JurisdictionRef, case_id: str) -> UUID:
    """The id of a report that is a past case of another system: always the same one."""
    return uuid5(NAMESPACE_URL, f"urn:riverain:past-case:{place.code}:{case_id}")


def unknown_types(session: Session, place: JurisdictionRef, file: CaseFile) -> list[str]:
    """The types of the file that the catalogue has no service for, in alphabetical order."""
    found = _by_name(catalogue_of(session, place.id))
    return sorted({case.type for case in file.cases if _key(case.type) not in found})


def create_services(session: Session, place: JurisdictionRef, file: CaseFile) -> int:
    """Give each unknown type a service with the city's defaults; how many there are.

    In the caller's transaction. For a city that no folder describes yet; a folder that is loaded
    later has the last word.
    """
    types = unknown_types(session, place, file)
    reasons = {case.type: case.reason for case in reversed(file.cases)}
    policy = place.policy
    near = policy.get("duplicates") or {}

    def said(text: str) -> dict[str, str]:
        return dict.fromkeys(place.locales, text)

    specs = [
        ServiceSpec(
            code=_code(name),
            group=_code(reasons[name]) or "other",
            group_names=said(reasons[name] or "Other"),
            names=said(name),
            descriptions=said(""),
            keywords={locale: [] for locale in place.locales},
            kind=ServiceKind.REALTIME,
            attributes=(),
            family=_code(name),
            duplicate_radius_m=near.get("radius_m", _RADIUS_M),
            duplicate_days=near.get("days", _DAYS),
            duplicate_join_at=near.get("join_at"),
            duplicate_suggest_at=near.get("suggest_at"),
            service_level={},
            reopen_days=policy.get("reopen_days", _REOPEN_DAYS),
            close_after_days=policy.get("close_after_days", _CLOSE_AFTER_DAYS),
            public_precision=policy.get("public_precision", "exact"),
            moderation=policy.get("moderation", "none"),
            recurrence=Recurrence(policy.get("recurrence", Recurrence.NEW)),
            recurrence_days=policy.get("recurrence_days", RECURRENCE_DAYS),
        )
        for name in types
    ]
    if specs:
        add_services(session, place.id, specs)
        geo_loading.touch(session, place.id)
    return len(specs)


def plan(session: Session, place: JurisdictionRef, file: CaseFile) -> Plan:
    """What there is to do for this file, after whatever was done before."""
    catalogue = catalogue_of(session, place.id)
    named = _by_name(catalogue)
    services: dict[str, ServiceEntry] = {}
    ids: dict[str, UUID] = {}
    cases: list[PastCase] = []
    bad: list[BadRow] = []
    for case in file.cases:
        service = named.get(_key(case.type))
        if service is None:
            reason = f"the catalogue has no service for the type {case.type!r}"
            bad.append(BadRow(case.line, case.id, Fault.SERVICE, reason))
            continue
        services[case.type] = service
        ids[case.id] = id_of(place, case.id)
        cases.append(case)
    over = _known(session, list(ids.values()))
    known = frozenset(case.id for case in cases if ids[case.id] in over)
    moments: list[tuple[datetime, bool, int]] = []
    for index, case in enumerate(cases):
        if case.id not in known:
            moments.append((case.opened_at, False, index))
        if case.closed_at is not None and not over.get(ids[case.id], False):
            moments.append((case.closed_at, True, index))
    # At one instant openings come first: some cases were closed in the second they were opened.
    ordered = [(cases[index], not is_closing) for _, is_closing, index in sorted(moments)]
    return Plan(place, services, ids, ordered, known, bad, finding.judge_of(session, catalogue))


def batches(plan: Plan, catalogue: Catalogue, *, size: int = BATCH) -> Iterator[Batch]:
    """The moments of the plan in batches that keep cause and effect in order."""
    around = Neighbourhoods(catalogue, plan.judge)
    openings: list[PastCase] = []
    closings: list[PastCase] = []
    closed_at: dict[str, list[Point]] = {}
    for case, is_opening in plan.moments:
        families = around.families(plan.services[case.type].id)
        is_full = len(openings) + len(closings) >= size
        is_touched = is_opening and any(
            _is_near(case.point, closed_at.get(family), around.reach_m(family))
            for family in families
        )
        if is_full or is_touched:
            yield Batch(openings, closings)
            openings, closings, closed_at = [], [], {}
        if is_opening:
            openings.append(case)
        else:
            closings.append(case)
            if case.point is not None:
                for family in families:
                    closed_at.setdefault(family, []).append(case.point)
    if openings or closings:
        yield Batch(openings, closings)


def bring_in(
    session: Session,
    plan: Plan,
    batch: Batch,
    *,
    secret: str,
    is_announced: bool = False,
    register: Register | None = None,
) -> Applied:
    """Bring a batch in, in the caller's transaction.

    Args:
        is_announced: leave the events for the workers, who tell whoever wants to know; else they
            are taken back and nobody ever hears of it.
        register: the city's assets, as they are now: cases are linked to them as reports are.
    """
    times: dict[UUID, datetime] = {}
    bad: list[BadRow] = []
    for case in batch.openings:
        draft = Draft(
            id=plan.ids[case.id],
            jurisdiction=plan.place.code,
            service_code=plan.services[case.type].code,
            point=case.point,
            address=case.address,
            description=case.description,
        )
        try:
            # Every rule is asked before the one statement, so a refusal leaves it untouched.
            taken = submit(session, draft, _CALLER, now=case.opened_at, secret=secret)
        except DomainError as error:
            fault = Fault.POSITION if error.field == "lat" else Fault.REFUSED
            bad.append(BadRow(case.line, case.id, fault, str(error) or error.title))
            continue
        if not taken.is_replay:
            times[taken.id] = case.opened_at
    if times:
        ids, now = list(times), max(times.values())
        locating.locate(session, ids, now=now, times=times)
        if register is not None:
            asset_linking.link(session, ids, now=now, finder=register.finder, times=times)
        owners = register.owners if register is not None else None
        triaging.triage(session, ids, now=now, times=times, assets=owners)
    closed = _close(session, plan, batch.closings, is_announced=is_announced)
    if not is_announced:
        outbox.withdraw(session, list(times))
    return Applied(len(times), closed, bad)


def compare(session: Session, plan: Plan, file: CaseFile) -> Comparison:
    """What became of the cases of the file, beside what the city's columns say."""
    rows = {row.id: row for row in session.execute(_OUTCOMES, {"ids": list(plan.ids.values())})}
    found = [
        (case, rows[plan.ids[case.id]])
        for case in file.cases
        if case.id in plan.ids and plan.ids[case.id] in rows
    ]
    teams = {
        team.id: team
        for team in session.execute(
            sa.select(Team.id, Team.code, Team.names, Team.agency).where(
                Team.jurisdiction_id == plan.place.id
            )
        )
    }
    own = [(case, row) for case, row in found if row.parent_id is None]
    closings = [row for case, row in own if case.closed_at is not None]
    routed = [(case, teams[row.team_id]) for case, row in own if row.team_id is not None]
    return Comparison(
        imported=len(found),
        placed=sum(row.is_placed for _, row in found),
        needs_place=sum(not row.is_placed for _, row in found),
        joined=len(found) - len(own),
        suggested=sum(row.outcome == "suggested" for _, row in own),
        routed=len(routed),
        without_team=len(own) - len(routed),
        closings=len(closings),
        closed=sum(row.status == Status.CLOSED for row in closings),
        still_open=sum(Status(row.status).is_open for _, row in own),
        department=_agreement(
            (case.department, _said(team.agency or "") == _said(case.department))
            for case, team in routed
        ),
        queue=_agreement(
            (case.queue, _key(case.queue) in {_key(team.code), *map(_key, team.names.values())})
            for case, team in routed
        ),
        ward=_wards(plan.place, found),
    )


def _by_name(catalogue: Catalogue) -> dict[str, ServiceEntry]:
    """The services that can be asked for, by their names in every language and by their codes."""
    found: dict[str, ServiceEntry] = {}
    for service in catalogue.offered():
        for name in (service.code, *service.names.values()):
            found.setdefault(_key(name), service)
    return found


def _key(name: str) -> str:
    return fold(name)


def _code(name: str) -> str:
    return fold(name).replace(" ", "-")[:80].strip("-")


def _said(text: str) -> str:
    return " ".join(text.split()).casefold()


def _known(session: Session, ids: Sequence[UUID]) -> dict[UUID, bool]:
    """Those of these reports that are there, and whether each was ever over.

    What a person has reopened since is not closed a second time.
    """
    there = session.scalars(_THERE, {"ids": list(ids)}).all()
    over = set(session.scalars(_WERE_OVER, {"ids": list(there)})) if there else set()
    return {id_: id_ in over for id_ in there}


def _is_near(point: Point | None, others: Sequence[Point] | None, reach_m: float) -> bool:
    if point is None or not others:
        return False
    reach_deg = reach_m / _SHORTEST_DEGREE_M
    return any(
        abs(point.lat - other.lat) <= reach_deg and distance_m(point, other) <= reach_m
        for other in others
    )


def _close(
    session: Session, plan: Plan, closings: Sequence[PastCase], *, is_announced: bool
) -> int:
    """Resolve and close what is open of these, at the instants the city did. How many there were.

    What was joined follows its parent, and what staff have finished meanwhile stays finished.
    """
    if not closings:
        return 0
    by_id = {plan.ids[case.id]: case for case in closings}
    stands = {
        row.id: Status(row.status)
        for row in session.execute(_TO_CLOSE, {"ids": sorted(by_id)})
        if Status(row.status).is_open
    }
    closed = [(id_, case) for id_, case in by_id.items() if id_ in stands]
    entries: list[Entry] = []
    for id_, case in closed:
        before = stands[id_]
        for after in _CLOSING:
            check_move(before, after, _CLOSER.kind, Facts())
            entries.append(
                Entry(id_, HistoryKind.STATUS, _CLOSER, before, after, at=case.closed_at)
            )
            before = after
    if not closed:
        return 0
    times = [case.closed_at for _, case in closed]
    session.execute(_CLOSE, {"ids": [id_ for id_, _ in closed], "times": times})
    suggestions.follow(session, [id_ for id_, _ in closed])
    # The instants stand in the entries; this one is for those that had none.
    entry_ids = history.append(session, entries, now=max(time for time in times if time))
    if is_announced:
        outbox.emit_many(
            session,
            events.STATUS_CHANGED,
            [
                outbox.Happening(
                    entry.report_id,
                    plan.place.id,
                    {"history_id": entry_id, "from": entry.from_status, "to": entry.to_status},
                )
                for entry, entry_id in zip(entries, entry_ids, strict=True)
            ],
        )
    return len(closed)


def _agreement(pairs: Iterator[tuple[str, bool]] | Sequence[tuple[str, bool]]) -> Agreement:
    """Of pairs of what the city said and whether we say the same."""
    told = [same for said, same in pairs if said]
    return Agreement(sum(told), len(told))


def _wards(place: JurisdictionRef, found: Sequence[tuple[PastCase, Any]]) -> Agreement:
    """The ward that the position lies in against the one that the city wrote down."""
    layers = {area.layer for area in place.areas.refs}
    layer = next((name for name in _WARD_LAYERS if name in layers), None)
    if layer is None:
        return Agreement()
    names = {
        area.id: {_ward(name) for name in (area.code, *area.names.values())}
        for area in place.areas.refs
        if area.layer == layer
    }
    pairs = []
    for case, row in found:
        inside = [names[area] for area in row.areas or () if area in names]
        if row.is_placed and case.point is not None:
            ward = _ward(case.ward)
            pairs.append((ward, any(ward in each for each in inside)))
    return _agreement(pairs)


def _ward(name: str) -> str:
    """`Ward 6`, `06` and `ward-6` are one; a ward without a number is its folded name."""
    number = re.search(r"\d+", name)
    return str(int(number.group())) if number else fold(name)


_THERE = sa.text("SELECT id FROM service_requests WHERE id = ANY (:ids ::uuid[])")

# A statement of its own: right after a large import the planner knows nothing of the size of the
# history yet, and asked for each report it would read the whole of it each time.
_WERE_OVER = sa.text(
    """
    SELECT DISTINCT report_id FROM history
     WHERE report_id = ANY (:ids ::uuid[]) AND to_status IN ('resolved', 'closed', 'rejected')
    """
)

_TO_CLOSE = sa.text(
    "SELECT id, status FROM service_requests WHERE id = ANY (:ids ::uuid[]) ORDER BY id FOR UPDATE"
)

_CLOSE = sa.text(
    f"""
    UPDATE service_requests AS r
       SET status = '{Status.CLOSED}', resolved_at = f.at, closed_at = f.at, held_since = NULL,
           suggested_id = NULL,
           updated_at = greatest(r.updated_at, f.at), version = r.version + {len(_CLOSING)}
      FROM unnest(:ids ::uuid[], :times ::timestamptz[]) AS f(id, at)
     WHERE r.id = f.id
    """
)

_OUTCOMES = sa.text(
    """
    SELECT id, status, parent_id, team_id, areas, cell IS NOT NULL AS is_placed,
           duplicate ->> 'outcome' AS outcome
      FROM service_requests
     WHERE id = ANY (:ids ::uuid[])
    """
)
