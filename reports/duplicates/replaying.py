"""Past cases of a city's 311 file as reports and candidates, and what the judge makes of them.

In memory, without a database: the same judge as in production decides each case in the order of
time and sees what was known at its moment. For measuring (`flask evaluate duplicates`) and for
training. Reads no label while it decides.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from core.text import fold
from geo.address_text import street_and_number
from geo.measures import distance_m
from reports.case_files import CaseFileError, PastCase
from reports.duplicates.features import Kind
from reports.duplicates.model import LearnedJudge, Model
from reports.duplicates.rules import Features, Outcome, Scope, Verdicts
from reports.duplicates.stock import Past, Stock, as_candidate

#: How far and how long ago is looked for services that no catalogue describes.
RADIUS_M = 300.0
DAYS = 60.0

#: As many candidates as are written of each case.
WRITTEN = 10

#: A file knows days only if hardly any of its cases has another time than midnight.
_DATED_SHARE = 0.98

_YES = frozenset({"1", "true", "yes"})


@dataclass(frozen=True, slots=True)
class Label:
    """What staff said of a case: whether it was a duplicate, and of which where they said so."""

    is_duplicate: bool
    parent: str | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What the judge made of a case; `candidates` best first."""

    id: str
    is_duplicate: bool
    parent: str | None
    score: float
    candidates: tuple[str, ...]


def read_labels(path: Path) -> dict[str, Label]:
    """The labels of a CSV file with the columns id, duplicate and parent_id.

    Raises:
        CaseFileError: it is no such file.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(2)
            raw.seek(0)
            binary = gzip.GzipFile(fileobj=raw) if start == b"\x1f\x8b" else raw
            reader = csv.DictReader(io.TextIOWrapper(binary, "utf-8-sig", newline=""))
            missing = {"id", "duplicate", "parent_id"} - set(reader.fieldnames or ())
            if missing:
                raise CaseFileError(f"{path} lacks the column {min(missing)}.")
            return {
                row["id"]: Label(
                    (row["duplicate"] or "").strip().lower() in _YES,
                    (row["parent_id"] or "").strip() or None,
                )
                for row in reader
                if row["id"]
            }
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise CaseFileError(f"{path} cannot be read to its end: {error}.") from error


class City:
    """Cases as reports: numbers for the services and cases of files that have only names.

    Args:
        confused: pairs of keys of services whose reports may be meant by one another.
    """

    def __init__(self, zone: ZoneInfo, confused: Iterable[tuple[str, str]] = ()) -> None:
        self._zone = zone
        self._confused = {*confused}
        self._confused |= {(other, one) for one, other in self._confused}
        self._services: dict[str, int] = {}
        self.kinds: dict[int, Kind] = {}
        self._scopes: dict[int, Scope] = {}
        self._numbers: dict[str, UUID] = {}
        self.names: dict[UUID, str] = {}

    def learn_services(self, cases: Iterable[PastCase]) -> None:
        """Give a number to each service of these cases."""
        for case in cases:
            key = fold(case.type)
            if key not in self._services:
                number = self._services[key] = len(self._services) + 1
                self.kinds[number] = Kind(key, fold(case.reason))
        self._scopes.clear()

    def id_of(self, name: str) -> UUID:
        """The id of a case; its order among them is that of their first mention."""
        known = self._numbers.get(name)
        if known is None:
            known = self._numbers[name] = UUID(int=len(self._numbers) + 1)
            self.names[known] = name
        return known

    def report(self, case: PastCase, *, has_time: bool) -> Features:
        """The case as it came in."""
        street, number = street_and_number(case.address) if case.address else (None, None)
        service_id = self._services[fold(case.type)]
        at = case.opened_at
        return Features(
            id=self.id_of(case.id),
            service_id=service_id,
            requested_at=at,
            point=case.point,
            scope=self._scope(service_id),
            address=case.address,
            text=case.description,
            street=street,
            number=number,
            has_time=has_time,
            source=fold(case.source),
        )

    def _scope(self, service_id: int) -> Scope:
        scope = self._scopes.get(service_id)
        if scope is None:
            kind = self.kinds[service_id]
            pairs = [
                number
                for number, other in self.kinds.items()
                if number != service_id and self._may_be_confused(kind, other)
            ]
            scope = Scope(kind.key, (service_id,), RADIUS_M, DAYS, pairs=tuple(pairs))
            self._scopes[service_id] = scope
        return scope

    def _may_be_confused(self, one: Kind, other: Kind) -> bool:
        return (one.key, other.key) in self._confused or (
            bool(one.group) and one.group == other.group
        )

    def is_dated(self, cases: Sequence[PastCase]) -> bool:
        """Whether the source of these cases knows days and not hours."""
        midnights = sum(
            (at.hour, at.minute, at.second) == (0, 0, 0)
            for at in (case.opened_at.astimezone(self._zone) for case in cases)
        )
        return bool(cases) and midnights >= _DATED_SHARE * len(cases)


def in_order(cases: Iterable[PastCase]) -> list[PastCase]:
    """By time; of one moment by their numbers, as the other system gave them."""
    return sorted(cases, key=lambda case: (case.opened_at, len(case.id), case.id))


def pasts(
    cases: Sequence[PastCase], labels: Mapping[str, Label], zone: ZoneInfo
) -> tuple[City, list[Past]]:
    """The cases of a file with their labels, for training; of those without, nothing is learnt."""
    city = City(zone, _named_pairs(cases, labels))
    city.learn_services(cases)
    has_time = not city.is_dated(cases)
    found = []
    for case in in_order(cases):
        label = labels.get(case.id)
        parent = label.parent if label else None
        found.append(
            Past(
                report=city.report(case, has_time=has_time),
                closed_at=case.closed_at if label else None,
                is_duplicate=bool(label and label.is_duplicate),
                parent_id=city.id_of(parent) if parent and parent != case.id else None,
            )
        )
    return city, found


def _named_pairs(cases: Sequence[PastCase], labels: Mapping[str, Label]) -> set[tuple[str, str]]:
    """Services of a case and of a near one that staff named as its parent."""
    by_id = {case.id: case for case in cases}
    pairs = set()
    for case in cases:
        label = labels.get(case.id)
        parent = by_id.get(label.parent) if label and label.parent else None
        if (
            parent is not None
            and parent.type != case.type
            and parent.point is not None
            and case.point is not None
            and distance_m(case.point, parent.point) <= RADIUS_M
        ):
            pairs.add((fold(case.type), fold(parent.type)))
    return pairs


def decide(
    model: Model, zone: ZoneInfo, cases: Sequence[PastCase], before: Sequence[PastCase] = ()
) -> Iterator[Decided]:
    """What the judge makes of each case, in the order of time.

    Cases of `before` that are not among them, and came in before the last of them, can be named.
    """
    own = {case.id for case in cases}
    stock_of = [case for case in before if case.id not in own]
    seen = model.tables.pairs
    city = City(
        zone, {(one, other) for one in seen for other in seen[one] if seen[one][other].seen}
    )
    city.learn_services([*stock_of, *cases])
    judge = LearnedJudge(model, city.kinds)
    dated = {id(group): city.is_dated(group) for group in (cases, stock_of)}
    lat = next((case.point.lat for case in (*cases, *stock_of) if case.point), 0.0)
    stock = Stock(lat)
    is_dated, was_dated = dated[id(cases)], dated[id(stock_of)]
    for case in in_order([*stock_of, *cases]):
        is_own = case.id in own
        has_time = not (is_dated if is_own else was_dated)
        report = city.report(case, has_time=has_time)
        report = replace(report, wave=stock.wave(report.service_id, report.requested_at))
        parent_id = None
        if is_own:
            decision = judge.decide(report, stock.near(report, judge.search(report)), Verdicts())
            is_joined = decision.outcome is Outcome.JOINED
            if is_joined and decision.parent_id is not None:
                parent_id = decision.parent_id
                stock.join(parent_id)
            best = decision.ranked[0].candidate.id if decision.ranked else None
            yield Decided(
                id=case.id,
                is_duplicate=decision.outcome is not Outcome.APART,
                parent=city.names[best] if best else None,
                score=decision.score or 0.0,
                candidates=tuple(
                    city.names[ranked.candidate.id] for ranked in decision.ranked[:WRITTEN]
                ),
            )
        if parent_id is None:
            stock.add(as_candidate(report, case.closed_at), has_time=has_time)
