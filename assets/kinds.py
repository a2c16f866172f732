"""The kinds of assets as every request needs them: in memory, refreshed by version.

As `reports.catalogue`: read again when the jurisdiction's version moves, at most a second late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from accounts.models import Team
from assets.models import AssetKind
from assets.rules import AdoptionRules, CareRules, CorrectionRules, Season
from core.db import Executor
from core.errors import InvalidError
from core.kept import Kept
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from reports.attributes import AttributeDefinition, definitions_of


class UnknownKindError(InvalidError):
    """No kind of asset of the jurisdiction has that code."""

    code = "unknown_kind"
    title = "There is no such kind of asset here"


@dataclass(frozen=True, slots=True)
class KindEntry:
    """A kind of asset; the fields are those of `assets.models.AssetKind`."""

    id: int
    jurisdiction_id: int
    code: str
    names: Mapping[str, str]
    icon: str | None
    attributes: tuple[AttributeDefinition, ...]
    is_adoptable: bool
    adoption: AdoptionRules
    care: CareRules
    corrections: CorrectionRules
    season: Season | None
    owner_team_id: int | None
    #: Code of that team.
    owner: str | None
    services: tuple[str, ...]
    link_radius_m: float
    match_radius_m: float
    files: tuple[Mapping[str, Any], ...]
    is_active: bool


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of one jurisdiction, at one version."""

    place: JurisdictionRef = field(repr=False)
    all: tuple[KindEntry, ...]
    by_code: Mapping[str, KindEntry] = field(repr=False)
    by_id: Mapping[int, KindEntry] = field(repr=False)

    def offered(self) -> list[KindEntry]:
        """The kinds in use, in their order."""
        return [kind for kind in self.all if kind.is_active]

    def kind(self, code: str) -> KindEntry:
        """The kind in use of that code.

        Raises:
            UnknownKindError: there is none.
        """
        entry = self.by_code.get(code)
        if entry is None or not entry.is_active:
            raise UnknownKindError(f"There is no kind of asset {code!r} here.", field="kind")
        return entry

    def fitting(self, service_code: str) -> list[KindEntry]:
        """The kinds that a report of this service can be about."""
        return [kind for kind in self.all if kind.is_active and service_code in kind.services]


_kept: Kept[Kinds] = Kept()


def kinds_of(session: Executor, jurisdiction_id: int) -> Kinds:
    """The kinds of a jurisdiction, at most a second behind the database."""
    place = jurisdictions.by_id(session, jurisdiction_id)
    return _kept.get(jurisdiction_id, place, lambda: _read(session, place))


def definitions(stored: Iterable[Mapping[str, Any]]) -> tuple[AttributeDefinition, ...]:
    """The attributes of a kind as it stores them, as definitions that values are held against."""
    return definitions_of({**item, "descriptions": item.get("names", {})} for item in stored)


def read(session: Executor, jurisdiction_id: int) -> tuple[KindEntry, ...]:
    """The kinds as the database has them now, in their order; one statement."""
    columns = AssetKind.__table__.c
    rows = session.execute(
        sa.select(
            *(column for column in columns if column.key not in ("position", "files_digest")),
            Team.code.label("owner"),
        )
        .outerjoin_from(AssetKind.__table__, Team, Team.id == columns.owner_team_id)
        .where(columns.jurisdiction_id == jurisdiction_id)
        .order_by(columns.position, columns.id)
    ).mappings()
    return tuple(_entry(dict(row)) for row in rows)


def _read(session: Executor, place: JurisdictionRef) -> Kinds:
    entries = read(session, place.id)
    return Kinds(
        place=place,
        all=entries,
        by_code={entry.code: entry for entry in entries},
        by_id={entry.id: entry for entry in entries},
    )


def _entry(row: Mapping[str, Any]) -> KindEntry:
    values = dict(row)
    values["attributes"] = definitions(row["attributes"])
    values["adoption"] = AdoptionRules.of(row["adoption"])
    values["care"] = CareRules.of(row["care"])
    values["corrections"] = CorrectionRules(**row["corrections"])
    values["season"] = Season.of(row["season"])
    values["services"] = tuple(row["services"])
    values["files"] = tuple(row["files"])
    return KindEntry(**values)
