"""Routing: the first rule that fits, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from reports import catalogue
from reports.loading import load_routing_rules
from reports.routing import deciding
from reports.routing.deciding import Facts, RoutingPlan
from reports.routing.grammar import parse
from tests.factories import OFFICE_HOURS, new_area, new_jurisdiction, new_service, new_team

RULES = """
rule danger
  when service trou
   and attribute danger is oui
  then team astreinte
   and priority urgent
   and due in 4 hours

rule profond
  when attribute profondeur at least 20
  then team voirie

rule haineux
  when words "croix gammée", "insulte"
   and not source sensor
  then team proprete

rule centre
  when group voirie
   and in quartiers: centre
  then team voirie-centre

rule sans-equipe
  when service lampe
  then team partie

otherwise team accueil
"""


@pytest.fixture
def plan(session: Session) -> RoutingPlan:
    city = new_jurisdiction(session)
    new_area(session, city, code="centre")
    for code in ("astreinte", "voirie", "proprete", "voirie-centre", "accueil"):
        new_team(session, city, code=code, calendar=OFFICE_HOURS)
    new_team(session, city, code="partie", is_active=False)
    new_service(session, city, code="trou")
    load_routing_rules(session, city.id, parse(RULES))
    catalogue.forget()
    return deciding.plan(session, catalogue.catalogue_of(session, city.id))


FACTS = Facts(service_code="banc", group="parcs", source="app")


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({}, "otherwise"),
        ({"service_code": "trou"}, "otherwise"),
        ({"service_code": "trou", "attributes": {"danger": "oui"}}, "danger"),
        ({"service_code": "trou", "attributes": {"danger": ["non", "oui"]}}, "danger"),
        ({"attributes": {"profondeur": 20}}, "profond"),
        ({"attributes": {"profondeur": 19.5}}, "otherwise"),
        ({"attributes": {"profondeur": "vingt"}}, "otherwise"),
        ({"words": " une croix gammee sur le mur "}, "haineux"),
        ({"words": " une insulte ", "source": "sensor"}, "otherwise"),
        ({"words": " des insultes "}, "otherwise"),
        ({"group": "voirie", "areas": frozenset({("quartiers", "centre")})}, "centre"),
        ({"group": "voirie", "areas": frozenset({("communes", "centre")})}, "otherwise"),
        # Its team is gone: the next rule that fits has it.
        ({"service_code": "lampe"}, "otherwise"),
    ],
)
def test_the_first_rule_whose_conditions_all_hold_wins(
    plan: RoutingPlan, facts: dict[str, Any], rule: str
) -> None:
    assert deciding.decide(plan, replace(FACTS, **facts)).explanation["rule"] == rule


def test_the_explanation_says_why_and_what_would_have_been_next(plan: RoutingPlan) -> None:
    facts = replace(FACTS, service_code="trou", attributes={"danger": "oui", "profondeur": 30})
    found = deciding.decide(plan, facts)
    assert found.team_id == plan.teams["astreinte"]
    assert found.priority == 2
    assert found.service_level is not None
    assert found.service_level.hours == 4
    assert found.explanation["why"] == [
        {"subject": "service", "values": ["trou"]},
        {"subject": "attribute", "key": "danger", "values": ["oui"]},
    ]
    assert found.explanation["text"].startswith("rule danger")
    assert found.explanation["next"]["rule"] == "profond"


def test_without_any_rule_nobody_has_it(session: Session) -> None:
    city = new_jurisdiction(session)
    empty = deciding.plan(session, catalogue.catalogue_of(session, city.id))
    found = deciding.decide(empty, FACTS)
    assert (found.team_id, found.explanation["rule"]) == (None, None)


TIMED = """
rule nuit
  when outside working hours
   and not from 1 Jul to 31 Aug
  then team astreinte

rule ferie
  when on holidays
  then team voirie

rule hiver
  when from 1 Nov to 31 Mar
   and asset owner parcs
  then team proprete

otherwise team accueil
"""


@pytest.mark.parametrize(
    ("at", "owner", "rule"),
    [
        # Paris, summer: 08:30 local is within hours, 07:30 is not, and July is left out.
        ("2026-05-05T06:30:00+00:00", None, "otherwise"),
        ("2026-05-05T05:30:00+00:00", None, "nuit"),
        ("2026-07-07T05:30:00+00:00", None, "otherwise"),
        # The fourteenth of July: nobody works, and it is a holiday.
        ("2026-07-14T09:00:00+00:00", None, "ferie"),
        # A Tuesday in December is in a season that goes over the turn of the year.
        ("2026-12-08T10:00:00+00:00", "parcs", "hiver"),
        ("2027-03-31T10:00:00+00:00", "parcs", "hiver"),
        ("2027-04-01T10:00:00+00:00", "parcs", "otherwise"),
        ("2026-12-08T10:00:00+00:00", "voirie", "otherwise"),
    ],
)
def test_rules_look_at_the_local_hour_the_day_the_season_and_the_owner(
    session: Session, at: str, owner: str | None, rule: str
) -> None:
    city = new_jurisdiction(session)
    for code in ("astreinte", "voirie", "proprete", "accueil"):
        new_team(session, city, code=code, calendar=OFFICE_HOURS)
    service = new_service(session, city)
    load_routing_rules(session, city.id, parse(TIMED))
    catalogue.forget()
    known = catalogue.catalogue_of(session, city.id)
    table = deciding.plan(session, known)
    facts = deciding.facts_of(
        table,
        known.by_id[service.id],
        source="app",
        areas=None,
        attributes={},
        description="",
        requested_at=datetime.fromisoformat(at),
        owner=owner,
    )
    assert deciding.decide(table, facts).explanation["rule"] == rule
