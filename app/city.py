"""Loading a city: its folder is read once, and each feature loads its part in one transaction.

`app.city_reading` reads and checks; here is only the order of loading and what came of it. A load
that changes nothing leaves no trace, not even a version; one that fails leaves none either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit
from accounts.audit import Action, Subject
from accounts.loading import load_teams
from app.city_files import Fault
from app.city_reading import City, CityFolderError
from assets import loading as asset_loading
from core.changes import Changes
from core.clock import utc_now
from geo import loading as geo_loading
from geo.models import Jurisdiction
from open311.downstream import load_endpoints
from reports import rule_versions
from reports.loading import load_services, teams_in_use
from reports.rule_versions import Version

#: The parts that are loaded, in their order: what is referred to comes first.
PARTS = (
    "jurisdiction",
    "areas",
    "addresses",
    "teams",
    "services",
    "rules",
    "downstream",
    "asset kinds",
    "assets",
)


@dataclass(frozen=True, slots=True)
class LoadedCity:
    """What became of a load.

    Attributes:
        version: of the jurisdiction, after the load.
        kept_rules: the routing rules of a manager that stayed in force instead of the folder's.
    """

    jurisdiction_id: int
    code: str
    version: int
    changes: Mapping[str, Changes]
    kept_rules: Version | None = None

    @property
    def is_changed(self) -> bool:
        """Whether the load changed anything."""
        return any(self.changes.values())


def load_city(
    session: Session,
    city: City,
    *,
    allow_loss: bool = False,
    force_rules: bool = False,
    step: Callable[[str], None] = lambda _: None,
) -> LoadedCity:
    """Make the database say what the folder says, in the caller's transaction.

    Args:
        allow_loss: accept that more than half of the known addresses go, or more than a tenth
            of the assets of a kind.
        force_rules: put the folder's routing rules in force over those that a manager made.
        step: called with the name of each of `PARTS` as its loading begins.

    Raises:
        CityFolderError: a feature refused its part.
    """
    step("jurisdiction")
    try:
        jurisdiction = geo_loading.load_jurisdiction(session, city.jurisdiction)
    except geo_loading.LoadingError as error:
        raise _refused(error, "city.yaml") from error
    changes = {"jurisdiction": jurisdiction.changes}
    step("areas")
    try:
        changes["areas"] = geo_loading.load_areas(session, jurisdiction.id, city.areas).changes
    except geo_loading.LoadingError as error:
        raise _refused(error, "areas") from error
    step("addresses")
    try:
        changes["addresses"] = geo_loading.load_addresses(
            session, jurisdiction.id, city.addresses, allow_loss=allow_loss
        ).changes
    except geo_loading.LoadingError as error:
        raise _refused(error, city.addresses_file) from error
    step("teams")
    used = teams_in_use(session, jurisdiction.id)
    used |= asset_loading.teams_in_use(session, jurisdiction.id)
    changes["teams"] = load_teams(session, jurisdiction.id, city.teams, in_use=used)
    step("services")
    changes["services"] = load_services(session, jurisdiction.id, city.services)
    step("rules")
    rules = rule_versions.load(
        session, jurisdiction.id, city.rules, city.rules_text, force=force_rules, now=utc_now()
    )
    changes["rules"] = rules.changes
    step("downstream")
    changes["downstream"] = load_endpoints(
        session, jurisdiction.id, city.endpoints, city.downstream_of
    )
    if city.assets is not None:
        step("asset kinds")
        changes["asset kinds"] = asset_loading.load_kinds(
            session, jurisdiction.id, city.assets.kinds
        )
        step("assets")
        try:
            changes["assets"] = asset_loading.load_assets(
                session,
                jurisdiction.id,
                city.assets.assets,
                allow_loss=allow_loss,
                now=utc_now(),
            )
        except asset_loading.FolderLossError as error:
            raise CityFolderError([Fault(error.file, 0, str(error))]) from error
    if any(changes.get(part) for part in ("teams", "services", "rules", "asset kinds")):
        geo_loading.touch(session, jurisdiction.id)
    version = session.scalar(
        sa.select(Jurisdiction.version).where(Jurisdiction.id == jurisdiction.id)
    )
    loaded = LoadedCity(jurisdiction.id, city.jurisdiction.code, version or 0, changes, rules.kept)
    if loaded.is_changed:
        audit.record(
            session,
            audit.OPERATOR,
            Action.CITY_CHANGED,
            Subject("jurisdiction", jurisdiction.id, jurisdiction.id),
            now=utc_now(),
            data={
                "what": "load",
                "version": loaded.version,
                "parts": [part for part, change in changes.items() if change],
            },
        )
    return loaded


def _refused(error: geo_loading.LoadingError, file: str) -> CityFolderError:
    return CityFolderError(
        [
            Fault(file, notice.lines[0] if notice.lines else 0, notice.reason)
            for notice in error.faults
        ]
    )
