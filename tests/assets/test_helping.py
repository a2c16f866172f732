"""Reports and volunteers: who is asked about a report, what they answer, what the team reads."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.people_data import Who
from accounts.rules import Role
from assets.care.models import Care
from assets.care.rules import USUAL_ACTIONS
from assets.helping import answering
from assets.helping.answering import Said
from assets.helping.asking import ask
from assets.helping.models import HelpRequest
from assets.helping.rules import LINK_FOR, Adopter, asked, is_link_over
from assets.helping.vocabulary import Answer
from assets.models import Asset, AssetKind
from assets.people_data import erase, held
from assets.photo_models import AssetPhoto
from core.clock import utc_now
from core.db import transaction
from core.errors import DomainError
from core.ids import new_id
from core.models import OutboxEvent
from core.outbox import Event
from core.tokens import Purpose, token_for
from geo import jurisdictions
from geo.measures import Point, destination
from geo.models import Jurisdiction
from notifications.announcing import announce
from notifications.channels.folder import FolderCarrier
from notifications.vocabulary import Channel
from reports import catalogue
from reports.models import HistoryEntry, Note, Service, ServiceRequest
from reports.vocabulary import HistoryKind, Status, Visibility
from tests.conftest import SECRET_KEY
from tests.factories import (
    COMEDIE,
    new_adoption,
    new_asset,
    new_asset_kind,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_person,
    new_report,
    new_service,
    new_staff,
    stored,
)
from tests.notifications.conftest import LINKS, letters, send_due
from tests.reports.test_intake import photo

NOW = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session, default_locale="en")


@pytest.fixture
def service(session: Session, city: Jurisdiction) -> Service:
    return new_service(
        session,
        city,
        code="hydrant-snow",
        names={"fr": "Borne enneigée", "en": "Hydrant in snow"},
        volunteers_resolve=True,
    )


@pytest.fixture
def kind(session: Session, city: Jurisdiction, service: Service) -> AssetKind:
    return new_asset_kind(
        session,
        city,
        names={"fr": "Borne", "en": "Hydrant"},
        services=[service.code],
        link_radius_m=30.0,
    )


@pytest.fixture
def asset(session: Session, kind: AssetKind) -> Asset:
    return new_asset(session, kind, code="H-1")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    jurisdictions.forget()
    catalogue.forget()


def away(metres: float) -> Point:
    return destination(COMEDIE, 90.0, metres)


def put(session: Session, *reports: ServiceRequest) -> int:
    """Ask about these reports, as the pipeline does after triage."""
    session.flush()
    jurisdictions.forget()
    catalogue.forget()
    count = ask(session, [report.id for report in reports], now=utc_now())
    session.expire_all()
    return count


def report_at(session: Session, service: Service, **values: Any) -> ServiceRequest:
    return new_report(session, service, **{"status": Status.TRIAGED, **values})


def url(session: Session, choice: str, request: HelpRequest | None = None, version: int = 1) -> str:
    found = request or stored(session, HelpRequest)[0]
    token = token_for(SECRET_KEY, Purpose.HELP, found.id, version)
    return f"/help/{found.id}/{choice}/{token}?lang=en"


def say(client: FlaskClient, report: ServiceRequest, who: Any, **body: Any) -> Any:
    return client.post(
        f"/api/v1/reports/{report.id}/volunteer-answer",
        json={"answer": "done", **body},
        headers=who.headers,
    )


def heard(session: Session, *names: str) -> list[Event]:
    rows = session.scalars(sa.select(OutboxEvent).order_by(OutboxEvent.id)).all()
    return [
        Event(row.id, row.name, row.subject_id, row.jurisdiction_id, row.data, None, NOW)
        for row in rows
        if row.name in names
    ]


def posted(session: Session, tmp_path: Path) -> list[str]:
    announce(session, heard(session, "help.asked"), now=NOW)
    send_due(session, dict.fromkeys(Channel, FolderCarrier(tmp_path / "outbox")), now=NOW)
    return letters(tmp_path / "outbox")


# -- rules ----------------------------------------------------------------------------------------


def test_adopters_of_the_very_asset_are_asked_before_those_near_and_each_once() -> None:
    ana, ben = new_id(), new_id()
    at = Adopter(new_id(), ana, new_id())
    near = Adopter(new_id(), ben, new_id(), 4.0)
    far = Adopter(new_id(), ben, new_id(), 9.0)
    assert asked([far, at, near]) == [at]
    assert asked([far, near]) == [near]
    assert asked([]) == []


def test_a_link_answers_for_sixty_days() -> None:
    assert not is_link_over(NOW - LINK_FOR, NOW)
    assert is_link_over(NOW - LINK_FOR - timedelta(seconds=1), NOW)


# -- asking ---------------------------------------------------------------------------------------


def test_the_adopter_of_the_asset_that_a_report_is_about_is_asked_once(
    session: Session, kind: AssetKind, service: Service, asset: Asset
) -> None:
    adoption = new_adoption(session, asset)
    new_adoption(session, new_asset(session, kind, point=away(5)))
    report = report_at(session, service, at=away(12), asset_id=asset.id)
    assert put(session, report) == 1
    [request] = stored(session, HelpRequest)
    assert (request.adoption_id, request.distance_m) == (adoption.id, None)
    [event] = heard(session, "help.asked")
    assert event.data == {
        "help_id": str(request.id),
        "report_id": str(report.id),
        "asset_id": str(asset.id),
        "adoption_id": str(adoption.id),
    }
    assert put(session, report) == 0


def test_whoever_looks_after_one_near_is_asked_where_nobody_looks_after_the_very_one(
    session: Session, city: Jurisdiction, kind: AssetKind, service: Service, asset: Asset
) -> None:
    near = new_adoption(session, new_asset(session, kind, point=away(20)))
    new_adoption(session, new_asset(session, kind, point=away(45)))
    new_adoption(session, new_asset(session, new_asset_kind(session, city), point=away(1)))
    ended = new_adoption(session, new_asset(session, kind, point=away(2)))
    ended.ended_at, ended.ended_because = NOW, "released"
    report = report_at(session, service, asset_id=asset.id)
    assert put(session, report) == 1
    [request] = stored(session, HelpRequest)
    assert (request.adoption_id, request.distance_m) == (near.id, 20.0)


@pytest.mark.parametrize(
    "values",
    [
        {"status": Status.RESOLVED},
        {"visibility": Visibility.HIDDEN.value},
        {"at": None},
    ],
)
def test_nobody_is_asked_about_what_is_over_hidden_or_nowhere(
    session: Session, service: Service, asset: Asset, values: dict[str, Any]
) -> None:
    new_adoption(session, asset)
    assert put(session, report_at(session, service, **values)) == 0


def test_whoever_reported_it_is_asked_and_not_told(
    session: Session, service: Service, asset: Asset
) -> None:
    ana = new_person(session)
    new_adoption(session, asset, ana)
    report = report_at(session, service, asset_id=asset.id)
    new_follower(session, report, is_reporter=True, person_id=ana.id)
    assert put(session, report) == 0
    assert len(stored(session, HelpRequest)) == 1


def test_a_corrected_link_asks_the_right_adopter_and_the_wrong_one_no_more(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    kind: AssetKind,
    service: Service,
    asset: Asset,
) -> None:
    wrong = new_citizen(session)
    new_adoption(session, asset, wrong.person)
    right = new_adoption(session, new_asset(session, kind, point=away(300)))
    report = report_at(session, service, asset_id=asset.id)
    put(session, report)
    staff = new_staff(session, city, Role.AGENT)
    chosen = client.post(
        f"/api/v1/reports/{report.id}/asset",
        json={"asset_id": str(right.asset_id)},
        headers=staff.headers,
    )
    assert chosen.status_code == 200
    assert put(session, report) == 1
    states = {row.adoption_id: row.state for row in stored(session, HelpRequest)}
    assert states.pop(right.id) == "open"
    assert list(states.values()) == ["withdrawn"]
    assert say(client, report, wrong).status_code == 404


# -- the letter -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", ["I did it", "It needs the city"]), ("fr", ["C’est fait", "Il faut la ville"])],
)
def test_the_letter_has_two_links_and_what_everybody_may_read(
    session: Session, service: Service, asset: Asset, tmp_path: Path, lang: str, words: list[str]
) -> None:
    new_adoption(session, asset, new_person(session, locale=lang), name="Little Red")
    report = report_at(
        session, service, asset_id=asset.id, description="Buried to the top", address="Rue Foch 3"
    )
    new_follower(
        session, report, is_reporter=True, name="Zoé Secret", email="zoe.secret@courriel.example"
    )
    put(session, report)
    [text] = posted(session, tmp_path)
    [request] = stored(session, HelpRequest)
    for choice in ("done", "needs_city"):
        assert LINKS.help(request.id, choice, 1, lang) in text
    for each in (*words, "H-1", "Little Red", "Buried to the top", "Rue Foch 3"):
        assert each in text
    assert "ecret" not in text
    # Announcing it again tells nobody twice.
    assert announce(session, heard(session, "help.asked"), now=NOW) == []


def test_the_letter_about_a_report_that_is_not_public_says_only_what_it_is_about(
    session: Session, service: Service, asset: Asset, tmp_path: Path
) -> None:
    new_adoption(session, asset, new_person(session, locale="en"))
    report = report_at(
        session,
        service,
        asset_id=asset.id,
        visibility=Visibility.HELD.value,
        description="Call me: 06 12 34 56 78",
        address="Rue Foch 3",
    )
    put(session, report)
    [text] = posted(session, tmp_path)
    assert "Hydrant in snow" in text
    for hidden in ("06 12", "Foch"):
        assert hidden not in text


def test_nobody_is_told_late_of_what_is_over(
    session: Session, service: Service, asset: Asset, tmp_path: Path
) -> None:
    new_adoption(session, asset)
    report = report_at(session, service, asset_id=asset.id)
    put(session, report)
    report.status = Status.RESOLVED.value
    session.flush()
    assert posted(session, tmp_path) == []


# -- the links ------------------------------------------------------------------------------------


def test_the_link_shows_and_its_button_resolves_once(
    client: FlaskClient, session: Session, service: Service, asset: Asset
) -> None:
    adoption = new_adoption(session, asset)
    report = report_at(session, service, asset_id=asset.id, description="Buried")
    put(session, report)
    shown = client.get(url(session, "done"))
    assert shown.status_code == 200
    assert "Buried" in shown.text
    assert shown.headers["Cache-Control"] == "no-store"
    assert client.head(url(session, "done")).status_code == 200
    assert report.status == Status.TRIAGED
    done = client.post(
        url(session, "done"),
        data={"note": "Took an hour", "photos": (photo(), "a.jpg")},
    )
    assert (done.status_code, "is resolved" in done.text) == (200, True)
    session.expire_all()
    assert report.status == Status.RESOLVED
    entry = session.scalars(
        sa.select(HistoryEntry).where(
            HistoryEntry.report_id == report.id, HistoryEntry.to_status == "resolved"
        )
    ).one()
    assert (entry.actor_kind, entry.actor_id) == ("volunteer", adoption.person_id)
    [care] = stored(session, Care)
    assert (care.action, care.adoption_id, care.note) == ("checked", adoption.id, "Took an hour")
    assert [photo.id for photo in stored(session, AssetPhoto)] == [care.photo_id]
    [note] = stored(session, Note)
    assert (note.kind, note.author_kind, note.body) == ("internal", "volunteer", "Took an hour")
    assert len(heard(session, "report.status_changed")) == 1
    # Used, by either link.
    for choice in ("done", "needs_city"):
        assert "answered already" in client.get(url(session, choice)).text
        assert client.get(url(session, choice)).status_code == 410
        assert client.post(url(session, choice)).status_code == 409
    assert len(stored(session, Care)) == 1


def test_where_the_service_does_not_let_volunteers_their_word_is_a_proposal(
    client: FlaskClient, session: Session, service: Service, asset: Asset
) -> None:
    new_adoption(session, asset)
    service.volunteers_resolve = False
    report = report_at(session, service, asset_id=asset.id)
    put(session, report)
    before = report.version
    answer = client.post(url(session, "done"), data={"note": "Looks fine now"})
    assert "has the last word" in answer.text
    session.expire_all()
    assert (report.status, report.version) == (Status.TRIAGED, before + 1)
    [entry] = session.scalars(
        sa.select(HistoryEntry).where(
            HistoryEntry.kind == HistoryKind.VOLUNTEER_ANSWERED.value,
            HistoryEntry.report_id == report.id,
        )
    )
    assert entry.data["answer"] == "done"
    assert len(stored(session, Care)) == 1
    [answered] = heard(session, "help.answered")
    assert (answered.data["answer"], answered.data["resolved"]) == ("done", False)


def test_what_is_on_hold_is_the_teams_to_settle(
    client: FlaskClient, session: Session, service: Service, asset: Asset
) -> None:
    new_adoption(session, asset)
    report = report_at(session, service, asset_id=asset.id, status=Status.ON_HOLD, held_since=NOW)
    put(session, report)
    assert client.post(url(session, "done")).status_code == 200
    session.expire_all()
    assert report.status == Status.ON_HOLD


def test_what_needs_the_city_is_a_word_to_the_team_and_no_care(
    client: FlaskClient, session: Session, city: Jurisdiction, service: Service, asset: Asset
) -> None:
    new_adoption(session, asset, new_person(session, name="Ana Lopez"))
    report = report_at(session, service, asset_id=asset.id)
    put(session, report)
    answer = client.post(url(session, "needs_city"), data={"note": "A pipe is broken"})
    assert "it needs the city" in answer.text
    session.expire_all()
    assert report.status == Status.TRIAGED
    assert stored(session, Care) == []
    path = f"/api/v1/reports/{report.id}"
    staff = new_staff(session, city, Role.AGENT)
    [shown] = client.get(f"{path}/volunteer-answers", headers=staff.headers).json["items"]
    assert (shown["state"], shown["note"]) == ("needs_city", "A pipe is broken")
    assert shown["adopter"]["name"] == "Ana Lopez"
    steps = client.get(f"{path}/history", headers=staff.headers).json["items"]
    [step] = [each for each in steps if each["kind"] == "volunteer_answered"]
    assert [each["text"] for each in step["words"]] == ["A pipe is broken"]
    public = client.get(f"{path}/history").text
    assert "A pipe is broken" not in public
    assert "Ana Lopez" not in public
    foreign = new_staff(session, new_jurisdiction(session), Role.AGENT)
    assert client.get(f"{path}/volunteer-answers", headers=foreign.headers).status_code == 404


def test_links_that_are_forged_foreign_old_or_of_an_ended_adoption_do_not_answer(
    client: FlaskClient, session: Session, service: Service, kind: AssetKind, asset: Asset
) -> None:
    adoption = new_adoption(session, asset)
    report = report_at(session, service, asset_id=asset.id)
    other_asset = new_asset(session, kind, point=away(500))
    new_adoption(session, other_asset)
    put(session, report, report_at(session, service, asset_id=other_asset.id))
    mine = next(row for row in stored(session, HelpRequest) if row.report_id == report.id)
    other = next(row for row in stored(session, HelpRequest) if row.report_id != report.id)
    good = url(session, "done", mine)
    foreign = good.replace(str(mine.id), str(other.id))
    forged = re.sub(r"/[\w-]{22}\?", "/AAAAAAAAAAAAAAAAAAAAAA?", good)
    unknown = good.replace(str(mine.id), str(new_id()))
    for wrong in (foreign, forged, unknown, good.replace("/done/", "/sold/")):
        assert client.get(wrong).status_code == 404
        assert client.post(wrong).status_code in (404, 405)
    mine.asked_at = utc_now() - timedelta(days=61)
    session.flush()
    assert client.get(good).status_code == client.post(good).status_code == 410
    mine.asked_at = utc_now()
    adoption.ended_at, adoption.ended_because = NOW, "released"
    adoption.token_version = 2
    session.flush()
    assert client.get(good).status_code == client.post(good).status_code == 410
    session.expire_all()
    assert report.status == Status.TRIAGED


# -- signed in ------------------------------------------------------------------------------------


def test_an_adopter_sees_what_they_are_asked_and_answers_signed_in(
    client: FlaskClient, session: Session, service: Service, asset: Asset
) -> None:
    ana = new_citizen(session)
    new_adoption(session, asset, ana.person)
    report = report_at(session, service, asset_id=asset.id, description="Buried")
    put(session, report)
    [item] = client.get("/api/v1/me/help-requests", headers=ana.headers).json["items"]
    assert (item["report"], item["resolves"], item["description"]) == (
        str(report.id),
        True,
        "Buried",
    )
    answer = say(client, report, ana, minutes=15, note="Dug out")
    assert answer.status_code == 201, answer.json
    assert (answer.json["status"], answer.json["has_resolved"]) == ("resolved", True)
    assert [care.minutes for care in stored(session, Care)] == [15]
    assert client.get("/api/v1/me/help-requests", headers=ana.headers).json["items"] == []
    again = say(client, report, ana)
    assert (again.status_code, again.json["code"]) == (409, "answered_already")


def test_what_was_done_is_logged_as_the_adopter_says(
    client: FlaskClient, session: Session, service: Service, asset: Asset, kind: AssetKind
) -> None:
    ana = new_citizen(session)
    new_adoption(session, asset, ana.person)
    usual, other = [each.code for each in USUAL_ACTIONS if not each.is_problem]
    report = report_at(session, service, asset_id=asset.id)
    put(session, report)
    answer = say(client, report, ana, action="danced")
    assert (answer.status_code, answer.json["code"]) == (422, "unknown_action")
    [mine] = stored(session, HelpRequest)
    page = client.get(url(session, "done", mine)).text
    assert f'<option value="{usual}">' in page
    assert client.post(url(session, "done", mine), data={"action": other}).status_code == 200
    assert [care.action for care in stored(session, Care)] == [other]
    assert "<select" not in client.get(url(session, "needs_city", mine)).text


def test_whoever_adopted_it_after_the_report_answers_as_well_and_is_not_written_to(
    client: FlaskClient, session: Session, service: Service, asset: Asset
) -> None:
    report = report_at(session, service, asset_id=asset.id)
    assert put(session, report) == 0
    ana = new_citizen(session)
    new_adoption(session, asset, ana.person)
    assert say(client, report, ana).status_code == 201
    assert heard(session, "help.asked") == []


def test_only_an_adopter_of_that_asset_answers(
    client: FlaskClient, session: Session, kind: AssetKind, service: Service, asset: Asset
) -> None:
    new_adoption(session, asset)
    report = report_at(session, service, asset_id=asset.id)
    put(session, report)
    stranger, far, before = (new_citizen(session) for _ in range(3))
    new_adoption(session, new_asset(session, kind, point=away(500)), far.person)
    ended = new_adoption(session, new_asset(session, kind), before.person)
    ended.ended_at, ended.ended_because = NOW, "released"
    for who in (stranger, far, before):
        assert say(client, report, who).status_code == 404
    path = f"/api/v1/reports/{report.id}/volunteer-answer"
    assert client.post(path, json={"answer": "done"}).status_code == 401
    assert say(client, report, far, answer="sold").status_code == 422
    assert say(client, report, far, person_id=str(stranger.id)).status_code == 422
    missing = client.post(
        f"/api/v1/reports/{new_id()}/volunteer-answer", json={"answer": "done"}, headers=far.headers
    )
    assert missing.status_code == 404


def test_what_is_over_cannot_be_answered(
    client: FlaskClient, session: Session, service: Service, asset: Asset
) -> None:
    ana = new_citizen(session)
    new_adoption(session, asset, ana.person)
    report = report_at(session, service, asset_id=asset.id)
    put(session, report)
    report.status = Status.CLOSED.value
    session.flush()
    answer = say(client, report, ana)
    assert (answer.status_code, answer.json["code"]) == (409, "report_finished")
    assert client.get(url(session, "done")).status_code == 410


def test_of_answers_at_once_one_counts_and_the_others_conflict(committed_db: Flask) -> None:
    people: list[UUID] = []
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session)
        service = new_service(session, city, code="snow", volunteers_resolve=True)
        kind = new_asset_kind(
            session, city, services=["snow"], adoption={"capacity": 8}, link_radius_m=30.0
        )
        asset = new_asset(session, kind)
        people += [new_adoption(session, asset).person_id for _ in range(8)]
        report_id = report_at(session, service, asset_id=asset.id).id
    with committed_db.app_context(), transaction() as session:
        ask(session, [report_id], now=utc_now())
    gate, outcomes = threading.Barrier(8), []

    def answer(person_id: UUID, choice: Answer) -> None:
        with committed_db.app_context():
            gate.wait()
            try:
                with transaction() as session:
                    mine = answering.of_person(session, report_id, person_id, now=utc_now())
                    answering.answer(session, mine.id, Said(choice), now=utc_now())
                outcomes.append("taken")
            except DomainError as error:
                outcomes.append(error.code)

    threads = [
        threading.Thread(target=answer, args=(person_id, list(Answer)[number % 2]))
        for number, person_id in enumerate(people)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["answered_already"] * 7 + ["taken"]


# -- people ---------------------------------------------------------------------------------------


def test_erasing_somebody_keeps_the_answer_without_their_words(
    client: FlaskClient, session: Session, service: Service, asset: Asset
) -> None:
    ana = new_citizen(session)
    new_adoption(session, asset, ana.person)
    report = report_at(session, service, asset_id=asset.id)
    put(session, report)
    say(client, report, ana, note="My own words")
    who = Who(ana.id, ana.person.email)
    [document] = held(session, who).documents["help_requests"]
    assert (document["state"], document["note"]) == ("done", "My own words")
    assert erase(session, who, NOW).counts["words about reports"] == 1
    session.expire_all()
    assert stored(session, Note) == []
    [request] = stored(session, HelpRequest)
    assert (request.state, request.note_id) == ("done", None)
