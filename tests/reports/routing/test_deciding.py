"""Routing: the first rule that fits, and why."""

from __future__ import annotations

from dataclasses import replace
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
