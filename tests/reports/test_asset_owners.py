"""Rules that look at who owns the asset a report is about."""

from __future__ import annotations

from sqlalchemy.orm import Session

from assets.owning import Owners
from core.clock import utc_now
from core.ids import new_id
from reports.loading import load_routing_rules
from reports.routing.grammar import parse
from reports.triage import triage
from tests.factories import (
    new_asset,
    new_asset_kind,
    new_jurisdiction,
    new_report,
    new_service,
    new_team,
)

RULES = "rule theirs when asset owner parks then team parks\notherwise team desk\n"


def test_a_report_goes_to_the_team_that_owns_its_asset(session: Session) -> None:
    city = new_jurisdiction(session)
    parks, desk = (new_team(session, city, code=code) for code in ("parks", "desk"))
    kind = new_asset_kind(session, city, owner_team_id=parks.id)
    of_kind = new_asset(session, kind)
    own = new_asset(session, kind, owner_team_id=desk.id)
    load_routing_rules(session, city.id, parse(RULES))
    service = new_service(session, city)
    asset_ids = (of_kind.id, own.id, new_id(), None)
    reports = [new_report(session, service, at=None, asset_id=each) for each in asset_ids]
    triage(session, [report.id for report in reports], now=utc_now(), assets=Owners())
    session.expire_all()
    assert [report.team_id for report in reports] == [parks.id, desk.id, desk.id, desk.id]
    assert Owners().owners(session, [of_kind.id, own.id]) == {of_kind.id: "parks", own.id: "desk"}
