"""Other systems in which teams of a city live: as its folder describes them, and as they are used.

Loading makes the stored endpoints those of the folder. The key of an endpoint never stands there:
the folder names it, the setting `OPEN311_KEYS` has it. What an endpoint calls us with, its webhook
secret, is derived and stored nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Team
from core.changes import Changes, assign
from core.tokens import matches, token_for
from geo.models import Jurisdiction
from open311.client import Address
from open311.downstream_models import DownstreamEndpoint, DownstreamTeam, Forwarding
from open311.rules import ListStyle

#: What webhook secrets are derived for.
_WEBHOOK = "open311_downstream"


@dataclass(frozen=True, slots=True)
class ServiceMap:
    """What a service of ours is called there.

    Attributes:
        attributes: codes of ours → theirs; None: as they are.
        values: by code of ours, values of a list → theirs; what is not named stays.
        fixed: what they want to know and we do not ask: their code → answer.
    """

    code: str
    attributes: Mapping[str, str] | None = None
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """Another system, as a city folder describes it; `docs/open311-downstream.md` explains each.

    Attributes:
        services: by code of ours; empty: they have the same codes.
        statuses: their words → statuses of ours, beside those that everybody knows.
    """

    code: str
    url: str
    jurisdiction_id: str | None = None
    key: str | None = None
    format: str = "json"
    list: ListStyle = ListStyle.IDS
    services: Mapping[str, ServiceMap] = field(default_factory=dict)
    default_service: str | None = None
    statuses: Mapping[str, str] = field(default_factory=dict)
    updates: bool = False
    notes: str = "public"
    poll_minutes: int = 5
    overlap_minutes: int = 15
    batch_size: int = 50
    token_hours: int = 72
    settle_minutes: int = 3
    time_zone: str = "UTC"
    held: bool = False
    idempotent: bool = False
    key_for_reading: bool = False
    extensions: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A stored endpoint, ready to be used."""

    id: int
    jurisdiction_id: int
    jurisdiction: str
    locale: str
    spec: EndpointSpec

    @property
    def name(self) -> str:
        """What its webhook address ends in, unique in the installation: `montpellier.lampes`."""
        return f"{self.jurisdiction}.{self.spec.code}"

    @property
    def zone(self) -> tzinfo:
        """What their times mean that name no zone."""
        return ZoneInfo(self.spec.time_zone)

    @property
    def token_patience(self) -> timedelta:
        """How long a token may take to become an id."""
        return timedelta(hours=self.spec.token_hours)

    @property
    def settling(self) -> timedelta:
        """How long after a sending it would surely be seen in their list."""
        return timedelta(minutes=self.spec.settle_minutes)

    def address(self, keys: Mapping[str, str]) -> Address | None:
        """How to call it; None while the setting lacks its key."""
        key = None
        if self.spec.key is not None:
            key = keys.get(self.spec.key)
            if key is None:
                return None
        return Address(
            self.spec.url,
            self.spec.jurisdiction_id,
            key,
            self.spec.format,
            self.zone,
            self.spec.key_for_reading,
            self.spec.extensions,
        )

    def service(self, code: str) -> ServiceMap | None:
        """What a service of ours is called there; None: they have nothing like it."""
        if not self.spec.services and self.spec.default_service is None:
            return ServiceMap(code)
        known = self.spec.services.get(code)
        if known is None and self.spec.default_service is not None:
            return ServiceMap(self.spec.default_service, {})
        return known


def load_endpoints(
    session: Session,
    jurisdiction_id: int,
    specs: Sequence[EndpointSpec],
    teams: Mapping[str, str],
) -> Changes:
    """Make the jurisdiction's endpoints those of `specs`, in the caller's transaction.

    Args:
        teams: code of a team → code of the endpoint that it lives in.
    """
    rows = {
        row.code: row
        for row in session.scalars(
            sa.select(DownstreamEndpoint).where(
                DownstreamEndpoint.jurisdiction_id == jurisdiction_id
            )
        )
    }
    created = updated = unchanged = 0
    kept: dict[str, DownstreamEndpoint] = {}
    for spec in specs:
        values = {"url": spec.url, "config": _config(spec), "is_active": True}
        row = rows.pop(spec.code, None)
        if row is None:
            row = DownstreamEndpoint(jurisdiction_id=jurisdiction_id, code=spec.code, **values)
            session.add(row)
            created += 1
        elif assign(row, values):
            # It may be another system now, or the same one repaired.
            row.failures, row.open_until, row.failing_since = 0, None, None
            updated += 1
        else:
            unchanged += 1
        kept[spec.code] = row
    session.flush()
    retired = _retire(session, list(rows.values()))
    moved = _settle_teams(session, jurisdiction_id, kept, teams)
    session.flush()
    return Changes(created, updated + moved, retired, max(0, unchanged - moved))


def endpoints(session: Session, ids: Collection[int] | None = None) -> dict[int, Endpoint]:
    """The endpoints at work, by id: those, or all."""
    statement = (
        sa.select(DownstreamEndpoint, Jurisdiction.code, Jurisdiction.default_locale)
        .join(Jurisdiction, Jurisdiction.id == DownstreamEndpoint.jurisdiction_id)
        .where(DownstreamEndpoint.is_active)
        .order_by(DownstreamEndpoint.id)
    )
    if ids is not None:
        statement = statement.where(DownstreamEndpoint.id.in_(ids))
    return {
        row.id: _endpoint(row, code, locale) for row, code, locale in session.execute(statement)
    }


def endpoint_named(session: Session, name: str) -> Endpoint | None:
    """The endpoint at work of that name: `montpellier.lampes`."""
    jurisdiction, _, code = name.partition(".")
    found = session.execute(
        sa.select(DownstreamEndpoint, Jurisdiction.code, Jurisdiction.default_locale)
        .join(Jurisdiction, Jurisdiction.id == DownstreamEndpoint.jurisdiction_id)
        .where(
            DownstreamEndpoint.is_active,
            Jurisdiction.code == jurisdiction,
            DownstreamEndpoint.code == code,
        )
    ).one_or_none()
    return found and _endpoint(*found)


def webhook_secret(secret: str, endpoint: Endpoint) -> str:
    """What that system shows to be heard at its webhook address."""
    return token_for(secret, _WEBHOOK, endpoint.name, 1)


def is_webhook_secret(secret: str, name: str, shown: str | None) -> bool:
    """Whether somebody showed the secret of the endpoint of that name, known or not."""
    return matches(secret, _WEBHOOK, name, 1, shown)


def webhook_url(base: str, endpoint: Endpoint) -> str:
    """Where that system tells of steps by itself."""
    return f"{base}/open311/downstream/{endpoint.name}/updates"


def _endpoint(row: DownstreamEndpoint, jurisdiction: str, locale: str) -> Endpoint:
    return Endpoint(
        row.id, row.jurisdiction_id, jurisdiction, locale, _spec(row.code, row.url, row.config)
    )


def _spec(code: str, url: str, config: Mapping[str, Any]) -> EndpointSpec:
    values = dict(config)
    services = {own: ServiceMap(**entry) for own, entry in values.pop("services", {}).items()}
    style = ListStyle(values.pop("list", ListStyle.IDS))
    return EndpointSpec(code=code, url=url, services=services, list=style, **values)


def _config(spec: EndpointSpec) -> dict[str, Any]:
    config = asdict(spec)
    for name in ("code", "url"):
        del config[name]
    return config


def _retire(session: Session, rows: Sequence[DownstreamEndpoint]) -> int:
    """Take endpoints out of use; those that nothing was forwarded to are deleted."""
    if not rows:
        return 0
    used = set(
        session.scalars(
            sa.select(Forwarding.endpoint_id)
            .where(Forwarding.endpoint_id.in_([row.id for row in rows]))
            .distinct()
        )
    )
    retired = 0
    for row in rows:
        if row.id not in used:
            session.delete(row)
            retired += 1
        elif row.is_active:
            row.is_active = False
            retired += 1
    return retired


def _settle_teams(
    session: Session,
    jurisdiction_id: int,
    endpoints_by_code: Mapping[str, DownstreamEndpoint],
    teams: Mapping[str, str],
) -> int:
    """Make each team live where the folder says; how many moved."""
    ids = {
        code: team_id
        for team_id, code in session.execute(
            sa.select(Team.id, Team.code).where(Team.jurisdiction_id == jurisdiction_id)
        )
    }
    wanted = {ids[team]: endpoints_by_code[code].id for team, code in teams.items()}
    rows = {
        row.team_id: row
        for row in session.scalars(
            sa.select(DownstreamTeam).where(DownstreamTeam.team_id.in_(ids.values()))
        )
    }
    moved = 0
    for team_id, endpoint_id in wanted.items():
        row = rows.pop(team_id, None)
        if row is None:
            session.add(DownstreamTeam(team_id=team_id, endpoint_id=endpoint_id))
            moved += 1
        elif row.endpoint_id != endpoint_id:
            row.endpoint_id = endpoint_id
            moved += 1
    for row in rows.values():
        session.delete(row)
        moved += 1
    return moved
