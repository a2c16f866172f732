"""Routing rules edited by managers: versions, checks, trials, and who has the last word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.models import AuditEntry
from accounts.rules import Role
from core.clock import utc_now
from geo import jurisdictions
from geo.models import Jurisdiction
from reports import catalogue, rule_versions
from reports.models import ServiceRequest
from reports.routing import deciding
from reports.routing.grammar import parse
from reports.rule_versions import Loaded
from reports.triage import triage
from reports.vocabulary import RulesOrigin, Status
from tests.factories import (
    SignedIn,
    new_area,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
    new_team,
)

FOLDER = "# of the folder\notherwise team desk\n"
OURS = "# lamps\nrule lamps\n  when service lamp\n  then team lights\n\notherwise team desk\n"


@dataclass(frozen=True, slots=True)
class Place:
    """A city with two services, two teams and a manager."""

    city: Jurisdiction
    manager: SignedIn
    url: str


@pytest.fixture
def place(session: Session) -> Place:
    city = new_jurisdiction(session)
    new_area(session, city, code="centre")
    new_team(session, city, code="desk")
    new_team(session, city, code="lights")
    new_service(session, city, code="lamp")
    new_service(session, city, code="hole")
    load(session, city, FOLDER)
    manager = new_staff(session, city, Role.MANAGER)
    return Place(city, manager, f"/api/v1/jurisdictions/{city.code}/routing-rules")


def load(session: Session, city: Jurisdiction, text: str, *, force: bool = False) -> Loaded:
    loaded = rule_versions.load(session, city.id, parse(text), text, force=force, now=utc_now())
    session.flush()
    return loaded


def put(client: FlaskClient, place: Place, text: str, version: int | None = None) -> Any:
    headers: dict[str, str] = dict(place.manager.headers)
    if version is not None:
        headers["If-Match"] = f'"{version}"'
    return client.put(place.url, json={"text": text}, headers=headers)


def test_a_manager_changes_the_rules_and_they_hold_at_once(
    client: FlaskClient, session: Session, place: Place
) -> None:
    before = client.get(place.url, headers=place.manager.headers)
    assert (before.json["version"], before.json["text"]) == (1, FOLDER)
    assert before.json["origin"] == "folder"
    done = put(client, place, OURS, version=1)
    assert done.status_code == 200, done.json
    assert (done.json["version"], done.json["by"]) == (2, str(place.manager.person.id))
    assert done.headers["ETag"] == '"2"'
    known = catalogue.catalogue_of(session, place.city.id)
    assert [rule.code for rule in deciding.plan(session, known).rules] == ["lamps", "otherwise"]
    [entry] = session.scalars(
        sa.select(AuditEntry).where(AuditEntry.subject_kind == "routing_rules")
    )
    assert (entry.actor_id, entry.data["version"]) == (place.manager.person.id, 2)


def test_who_read_another_version_is_refused_and_nothing_is_changed(
    client: FlaskClient, place: Place
) -> None:
    assert put(client, place, OURS, version=1).status_code == 200
    assert put(client, place, FOLDER, version=1).status_code == 412
    assert client.get(place.url, headers=place.manager.headers).json["version"] == 2


def test_the_same_text_again_is_no_new_version(client: FlaskClient, place: Place) -> None:
    put(client, place, OURS)
    assert put(client, place, OURS).json["version"] == 2


def test_faulty_rules_are_refused_with_line_and_word(client: FlaskClient, place: Place) -> None:
    text = "rule a\n  when service lamb\n  then team lights\notherwise team deck\n"
    headers = {**place.manager.headers, "Accept-Language": "en"}
    refused = client.put(place.url, json={"text": text}, headers=headers)
    assert refused.status_code == 422
    assert refused.json["code"] == "faulty_rules"
    assert [(each["line"], each["word"]) for each in refused.json["faults"]] == [
        (2, "lamb"),
        (4, "deck"),
    ]
    assert "line 2 at “lamb”: there is no service of this code" in refused.json["detail"]
    assert client.get(place.url, headers=place.manager.headers).json["version"] == 1


FAULTY = "rule a\n  when service lamb\n  then team lights\notherwise team deck\n"

ENGLISH = "there is no service of this code"
FRENCH = "aucun service n’a ce code"


@pytest.mark.parametrize(
    ("asked", "title", "detail", "reason"),
    [
        (
            "en-GB",
            "These rules cannot be put in force",
            f"2 faults; the first: line 2 at “lamb”: {ENGLISH}",
            ENGLISH,
        ),
        (
            "fr-FR, en;q=0.5",
            "Ces règles ne peuvent pas être mises en vigueur",
            f"2~fautes~; la première~: ligne 2, à «~lamb~»~: {FRENCH}",
            FRENCH,
        ),
    ],
)
def test_rules_are_refused_in_the_managers_language(
    client: FlaskClient, place: Place, asked: str, title: str, detail: str, reason: str
) -> None:
    headers = {**place.manager.headers, "Accept-Language": asked}
    refusals = [
        client.put(place.url, json={"text": FAULTY}, headers=headers),
        client.post(f"{place.url}/trial", json={"text": FAULTY}, headers=headers),
    ]
    for refused in refusals:
        assert (refused.status_code, refused.json["title"]) == (422, title)
        assert refused.json["detail"] == detail.replace("~", "\u00a0")
        assert refused.json["errors"] == {"text": [refused.json["detail"]]}
        assert refused.json["faults"][0] == {
            "line": 2,
            "column": 16,
            "word": "lamb",
            "code": "unknown_service",
            "reason": reason,
        }
    checked = client.post(f"{place.url}/check", json={"text": FAULTY}, headers=headers)
    assert checked.json["faults"] == refusals[0].json["faults"]


def test_who_asks_for_no_language_reads_their_own_else_the_citys(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session, default_locale="en")
    url = f"/api/v1/jurisdictions/{city.code}/routing-rules/check"
    for locale, asked, reason in (
        (None, None, ENGLISH),
        ("fr", None, FRENCH),
        ("fr", "en", ENGLISH),
        ("fr", "de", FRENCH),
    ):
        manager = new_staff(session, city, Role.MANAGER, locale=locale)
        headers = {**manager.headers, **({"Accept-Language": asked} if asked else {})}
        found = client.post(url, json={"text": FAULTY}, headers=headers)
        assert found.json["faults"][0]["reason"] == reason, (locale, asked)


def test_what_is_worth_a_look_is_told_in_the_language_asked_for(
    client: FlaskClient, session: Session, place: Place
) -> None:
    text = OURS.replace("otherwise", "rule late\n when service lamp\n then team desk\notherwise")
    headers = {**place.manager.headers, "Accept-Language": "fr"}
    done = client.put(place.url, json={"text": text}, headers=headers)
    [warning] = done.json["warnings"]
    assert warning["code"] == "never_applies"
    assert warning["reason"].endswith("est déjà pris par la règle lamps (ligne 2)")
    for url in (place.url, f"{place.url}/versions/2"):
        shown = client.get(f"{url}?locale=en", headers=headers)
        [warning] = shown.json["warnings"]
        assert warning["reason"].startswith("this rule never applies: rule lamps (line 2)")
    # An old version may name what the city no longer has.
    put(client, place, FOLDER)
    session.execute(sa.text("UPDATE teams SET is_active = false WHERE code = 'lights'"))
    session.expire_all()
    refused = client.post(f"{place.url}/versions/2/restoration", headers=headers)
    assert refused.json["faults"][0]["reason"] == "aucune équipe n’a ce code"


def test_checking_changes_nothing_and_says_what_is_worth_a_look(
    client: FlaskClient, place: Place
) -> None:
    text = OURS.replace("otherwise", "rule late\n when service lamp\n then team desk\notherwise")
    found = client.post(f"{place.url}/check", json={"text": text}, headers=place.manager.headers)
    assert found.json["is_right"]
    assert [each["word"] for each in found.json["warnings"]] == ["late"]
    broken = client.post(f"{place.url}/check", json={"text": "x"}, headers=place.manager.headers)
    assert (broken.status_code, broken.json["is_right"]) == (200, False)
    assert client.get(place.url, headers=place.manager.headers).json["version"] == 1


def test_a_person_in_a_rule_must_work_here(
    client: FlaskClient, session: Session, place: Place
) -> None:
    agent = new_staff(session, place.city, Role.AGENT, email="ann@ville.example")
    text = OURS.replace("team lights", "team lights and person {}")
    assert put(client, place, text.format("bob@ville.example")).status_code == 422
    assert put(client, place, text.format(agent.person.email)).status_code == 200


def test_every_version_can_be_seen_and_put_in_force_again(
    client: FlaskClient, place: Place
) -> None:
    put(client, place, OURS)
    headers = place.manager.headers
    assert client.get(f"{place.url}/versions/1", headers=headers).json["text"] == FOLDER
    back = client.post(f"{place.url}/versions/1/restoration", headers=headers)
    assert (back.json["version"], back.json["restored"]) == (3, 1)
    assert back.json["text"] == FOLDER
    listed = client.get(f"{place.url}/versions?limit=2", headers=headers).json
    assert [item["version"] for item in listed["items"]] == [3, 2]
    rest = client.get(f"{place.url}/versions?cursor={listed['next']}", headers=headers).json
    assert [item["version"] for item in rest["items"]] == [1]
    assert rest["next"] is None
    for none in (0, 9, 10**20):
        unknown = f"{place.url}/versions/{none}"
        assert client.get(unknown, headers=headers).status_code == 404
        assert client.post(f"{unknown}/restoration", headers=headers).status_code == 404
    assert client.get(f"{place.url}/versions?cursor=WyJhIl0", headers=headers).status_code == 422


def test_a_version_that_names_what_is_gone_cannot_come_back(
    client: FlaskClient, session: Session, place: Place
) -> None:
    put(client, place, OURS)
    put(client, place, FOLDER)
    session.execute(sa.text("UPDATE teams SET is_active = false WHERE code = 'lights'"))
    session.expire_all()
    refused = client.post(f"{place.url}/versions/2/restoration", headers=place.manager.headers)
    assert refused.status_code == 422
    assert refused.json["faults"][0]["word"] == "lights"


@pytest.mark.parametrize("role", [Role.AGENT, Role.AUDITOR, Role.VIEWER])
def test_only_those_who_manage_the_city_touch_its_rules(
    client: FlaskClient, session: Session, place: Place, role: Role
) -> None:
    headers = new_staff(session, place.city, role).headers
    assert client.get(place.url, headers=headers).status_code == 403
    assert client.put(place.url, json={"text": OURS}, headers=headers).status_code == 403


def test_a_manager_of_one_team_or_of_another_city_finds_no_rules(
    client: FlaskClient, session: Session, place: Place
) -> None:
    other = new_staff(session, new_jurisdiction(session), Role.MANAGER)
    assert client.get(place.url, headers=other.headers).status_code == 404
    team = new_team(session, place.city)
    of_team = new_staff(session, place.city, Role.MANAGER, team=team)
    assert client.put(place.url, json={"text": OURS}, headers=of_team.headers).status_code == 404


# The folder and the managers


def test_the_folder_gives_way_to_a_manager_until_it_is_forced(
    client: FlaskClient, session: Session, place: Place
) -> None:
    put(client, place, OURS)
    newer = "otherwise team lights\n"
    kept = load(session, place.city, newer)
    assert not kept.changes
    assert kept.kept is not None
    assert (kept.kept.version, kept.kept.text) == (2, OURS)
    forced = load(session, place.city, newer, force=True)
    assert forced.kept is None
    now = rule_versions.current(session, place.city.id)
    assert (now.version, now.text, now.origin) == (3, newer, RulesOrigin.FOLDER)
    # The folder has the last word again: the next load goes through.
    assert load(session, place.city, FOLDER).changes


def test_a_folder_that_says_what_the_manager_said_is_loaded(
    client: FlaskClient, session: Session, place: Place
) -> None:
    put(client, place, OURS)
    same = load(session, place.city, OURS)
    assert (bool(same.changes), same.kept) == (False, None)
    assert rule_versions.current(session, place.city.id).version == 2


# Trying


def tried(client: FlaskClient, place: Place, text: str) -> Mapping[str, Any]:
    answer = client.post(
        f"{place.url}/trial", json={"text": text, "days": 30}, headers=place.manager.headers
    )
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    found: Mapping[str, Any] = answer.json
    return found


def waiting(session: Session, service: Any, **values: Any) -> ServiceRequest:
    return new_report(session, service, requested_at=utc_now() - timedelta(days=1), **values)


def test_a_trial_says_what_would_move_and_moves_nothing(
    client: FlaskClient, session: Session, place: Place
) -> None:
    lamp = new_service(session, place.city, code="lamp-2")
    hole = new_service(session, place.city, code="hole-2")
    desk = new_team(session, place.city, code="other-desk")
    reports = [waiting(session, lamp) for _ in range(3)]
    waiting(session, hole)
    waiting(session, lamp, routed_by="person", team=desk, status=Status.TRIAGED)
    new_report(session, lamp, requested_at=utc_now() - timedelta(days=90))
    found = tried(client, place, OURS.replace("service lamp", "service lamp, lamp-2"))
    assert (found["total"], found["moved"], found["by_person"]) == (5, 3, 1)
    [move] = found["moves"]
    assert (move["before"], move["after"], move["count"]) == ("desk", "lights", 3)
    assert sorted(move["examples"]) == sorted(str(report.number) for report in reports)
    session.expire_all()
    assert {report.team_id for report in reports} == {None}


def test_faulty_rules_are_not_tried(client: FlaskClient, place: Place) -> None:
    answer = client.post(
        f"{place.url}/trial", json={"text": "otherwise team x"}, headers=place.manager.headers
    )
    assert answer.status_code == 422
    assert answer.json["faults"][0]["word"] == "x"


def test_what_was_decided_stays_when_the_rules_change(
    client: FlaskClient, session: Session, place: Place
) -> None:
    lamp = new_service(session, place.city)
    report = waiting(session, lamp, located_at=utc_now())
    jurisdictions.forget()
    triage(session, [report.id], now=utc_now())
    session.refresh(report)
    before = report.routing
    assert before is not None
    assert before["rule"] == "otherwise"
    put(client, place, OURS)
    triage(session, [report.id], now=utc_now())
    session.refresh(report)
    assert report.routing == before
