"""The kinds of a city folder and the assets that it ships, brought into the database.

Reads no file: `app.city` has read and checked the folder. Everything happens in the caller's
transaction. Loading the same twice changes nothing; the assets of an unchanged folder are not even
compared, so that loading it again does not take back what a newer file brought since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Team
from assets import kinds
from assets.importing import running
from assets.importing.judging import Incoming
from assets.kinds import KindEntry
from assets.models import Asset, AssetKind
from assets.register import search_words
from assets.vocabulary import AssetState, RunKind
from core.changes import Changes, assign
from core.text import clean
from geo.measures import Point
from reports.attributes import check


@dataclass(frozen=True, slots=True)
class KindSpec:
    """A kind of asset of a city folder; the fields are those of `assets.models.AssetKind`.

    Attributes:
        owner_team: code of a team.
        files: how the city writes its files of this kind, see `assets.importing.mapping`.
    """

    code: str
    names: Mapping[str, str]
    icon: str | None = None
    attributes: Sequence[Mapping[str, Any]] = ()
    is_adoptable: bool = False
    adoption: Mapping[str, Any] = field(default_factory=dict)
    care: Mapping[str, Any] = field(default_factory=dict)
    corrections: Mapping[str, Any] = field(default_factory=dict)
    season: Mapping[str, str] | None = None
    owner_team: str | None = None
    services: Sequence[str] = ()
    link_radius_m: float = 25.0
    match_radius_m: float = 5.0
    files: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """An asset of a file of the folder. `state` is None where the file does not say."""

    file: str
    line: int
    code: str
    lat: float
    lon: float
    state: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


class FolderLossError(Exception):
    """The folder's files lack too many of a kind that they brought before."""

    def __init__(self, kind: str, file: str, gone: int, known: int) -> None:
        super().__init__(
            f"{gone} of {known} known assets of the kind “{kind}” would vanish; are the files "
            "whole? If they are gone, load with --allow-loss"
        )
        self.file = file


def attribute_error(
    attributes: Sequence[Mapping[str, Any]], given: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Which of the given values does not fit its attribute of a kind, and why."""
    errors = check(kinds.definitions(attributes), given).errors
    return next(((code, messages[0]) for code, messages in errors.items()), None)


def load_kinds(session: Session, jurisdiction_id: int, specs: Sequence[KindSpec]) -> Changes:
    """Make the jurisdiction's kinds those of `specs`; one with assets becomes inactive instead
    of going. The caller moves the version of the jurisdiction."""
    rows = {
        kind.code: kind
        for kind in session.scalars(
            sa.select(AssetKind).where(AssetKind.jurisdiction_id == jurisdiction_id)
        )
    }
    teams = {
        team.code: team.id
        for team in session.execute(
            sa.select(Team.code, Team.id).where(Team.jurisdiction_id == jurisdiction_id)
        )
    }
    created = updated = unchanged = 0
    for position, spec in enumerate(specs, start=1):
        values = {
            "names": dict(spec.names),
            "icon": spec.icon,
            "position": position,
            "attributes": [dict(attribute) for attribute in spec.attributes],
            "is_adoptable": spec.is_adoptable,
            "adoption": dict(spec.adoption),
            "care": dict(spec.care),
            "corrections": dict(spec.corrections),
            "season": None if spec.season is None else dict(spec.season),
            "owner_team_id": teams[spec.owner_team] if spec.owner_team else None,
            "services": list(spec.services),
            "link_radius_m": spec.link_radius_m,
            "match_radius_m": spec.match_radius_m,
            "files": [dict(mapping) for mapping in spec.files],
            "is_active": True,
        }
        row = rows.pop(spec.code, None)
        if row is None:
            session.add(AssetKind(jurisdiction_id=jurisdiction_id, code=spec.code, **values))
            created += 1
        elif assign(row, values):
            updated += 1
        else:
            unchanged += 1
    retired = _retire(session, list(rows.values()))
    session.flush()
    return Changes(created, updated, retired, unchanged)


def load_assets(
    session: Session,
    jurisdiction_id: int,
    shipped: Mapping[str, Sequence[AssetSpec]],
    *,
    allow_loss: bool = False,
    now: datetime,
) -> Changes:
    """Bring in the assets that the folder ships, by code of their kind.

    Raises:
        FolderLossError: more than a tenth of a kind would vanish, and `allow_loss` is not set.
    """
    entries = {kind.code: kind for kind in kinds.read(session, jurisdiction_id)}
    created = updated = retired = unchanged = 0
    for code, specs in shipped.items():
        if not specs:
            continue
        kind, digest = entries[code], _digest(specs)
        stored = session.get_one(AssetKind, kind.id)
        if stored.files_digest == digest:
            unchanged += len(specs)
            continue
        try:
            outcome = running.run(
                session,
                kind,
                _incoming(specs, kind),
                names=sorted({spec.file.rpartition("/")[2] for spec in specs}),
                begun_by=RunKind.CITY_FOLDER,
                loss_reason="the city folder was loaded with --allow-loss" if allow_loss else None,
                now=now,
            )
        except running.LossRefusedError as error:
            found = error.difference
            raise FolderLossError(code, specs[0].file, found.vanished, found.known) from error
        stored.files_digest = digest
        counts = outcome.difference.counts
        created += counts["new"]
        updated += sum(counts[sort] for sort in ("changed", "moved", "renamed", "returned"))
        retired += counts["gone"]
        unchanged += counts["same"]
    session.flush()
    return Changes(created, updated, retired, unchanged)


def teams_in_use(session: Session, jurisdiction_id: int) -> set[int]:
    """Ids of teams that look after single assets."""
    found = session.scalars(
        sa.select(Asset.owner_team_id)
        .where(Asset.jurisdiction_id == jurisdiction_id, Asset.owner_team_id.is_not(None))
        .distinct()
    )
    return {team_id for team_id in found if team_id is not None}


def _retire(session: Session, rows: Sequence[AssetKind]) -> int:
    retired = 0
    for row in rows:
        is_used = session.scalar(sa.select(sa.exists().where(Asset.kind_id == row.id)))
        if not is_used:
            session.delete(row)
            retired += 1
        elif row.is_active:
            row.is_active = False
            retired += 1
    return retired


def _incoming(specs: Sequence[AssetSpec], kind: KindEntry) -> Iterator[Incoming]:
    for spec in specs:
        attributes = check(kind.attributes, spec.attributes).values
        code = clean(spec.code).strip()
        yield Incoming(
            file=spec.file,
            line=spec.line,
            code=code,
            point=Point(spec.lat, spec.lon),
            state=None if spec.state is None else AssetState(spec.state),
            attributes=attributes,
            words=search_words(code, attributes),
        )


def _digest(specs: Sequence[AssetSpec]) -> str:
    """The same for the same assets, in whatever order."""
    lines = sorted(
        json.dumps(
            [spec.code, round(spec.lat, 7), round(spec.lon, 7), spec.state, dict(spec.attributes)],
            sort_keys=True,
        )
        for spec in specs
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
