"""Copies: who a routing rule tells of its reports, once, and nobody whom it names no more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.clock import utc_now
from geo import jurisdictions
from geo.models import Jurisdiction
from notifications.announcing import announce
from notifications.messages import Carrier
from notifications.models import Delivery
from notifications.vocabulary import Channel
from reports import catalogue
from reports.loading import load_routing_rules
from reports.models import HistoryEntry, ServiceRequest
from reports.routing.grammar import parse
from reports.triage import triage
from tests.factories import WEDNESDAY, new_jurisdiction, new_report, new_service, new_team
from tests.notifications.conftest import letters, new_event, send_due

RULES = """
rule gaz
  when service gaz
  then team voirie
   and copy to parcs, chef@gaz.example, chef@gaz.example

otherwise team voirie
"""


def new_city(session: Session) -> Jurisdiction:
    city = new_jurisdiction(session)
    new_team(session, city, code="voirie")
    new_team(session, city, code="parcs")
    load_routing_rules(session, city.id, parse(RULES))
    return city


def routed(session: Session, city: Jurisdiction, service: str = "gaz") -> ServiceRequest:
    report = new_report(session, new_service(session, city, code=service))
    jurisdictions.forget()
    catalogue.forget()
    triage(session, [report.id], now=utc_now())
    session.refresh(report)
    return report


def copies(session: Session) -> list[Delivery]:
    return list(session.scalars(sa.select(Delivery).where(Delivery.recipient_kind == "copy")))


def test_teams_and_addresses_are_told_once_however_often_it_is_announced(
    session: Session, folder: Mapping[Channel, Carrier], outbox: Path
) -> None:
    report = routed(session, new_city(session))
    event = new_event("report.triaged", report.id, report.jurisdiction_id, at=WEDNESDAY)
    for _ in range(2):
        announce(session, [event], now=WEDNESDAY)
    assert len(copies(session)) == 2
    send_due(session, folder, now=WEDNESDAY + timedelta(seconds=1))
    sent = "\n".join(letters(outbox))
    assert sent.count("chef@gaz.example") == 1
    assert "parcs@ville.example" in sent
    assert f"{report.number}" in sent
    assert "Équipe voirie" in sent


def test_what_another_rule_or_a_person_sent_tells_nobody(session: Session) -> None:
    city = new_city(session)
    lamp = routed(session, city, "lampe")
    gas = routed(session, city)
    gas.routing, gas.routed_by = {"by": "person"}, "person"
    session.flush()
    events = [
        new_event("report.triaged", lamp.id, city.id, at=WEDNESDAY),
        new_event("report.rerouted", gas.id, city.id, at=WEDNESDAY),
    ]
    announce(session, events, now=WEDNESDAY)
    assert copies(session) == []


def test_who_was_taken_out_of_the_rules_gets_no_letter_any_more(
    session: Session, folder: Mapping[Channel, Carrier], outbox: Path
) -> None:
    city = new_city(session)
    report = routed(session, city)
    event = new_event("report.triaged", report.id, city.id, at=WEDNESDAY)
    announce(session, [event], now=WEDNESDAY)
    load_routing_rules(session, city.id, parse("otherwise team voirie\n"))
    jurisdictions.forget()
    catalogue.forget()
    send_due(session, folder, now=WEDNESDAY + timedelta(seconds=1))
    assert letters(outbox) == []


def test_no_address_stands_with_the_report_its_history_or_the_delivery(session: Session) -> None:
    city = new_city(session)
    report = routed(session, city)
    event = new_event("report.triaged", report.id, city.id, at=WEDNESDAY)
    announce(session, [event], now=WEDNESDAY)
    kept = [str(report.routing), *(str(row.recipient_id) for row in copies(session))]
    kept += [
        str(entry.data)
        for entry in session.scalars(
            sa.select(HistoryEntry).where(HistoryEntry.report_id == report.id)
        )
    ]
    assert not any("@" in text for text in kept)
    assert report.routing is not None
    assert report.routing["copies"] == 3
