"""Adopting over the API: claims, limits, names, hand-over, the waiting list, the clock."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import requests
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from accounts.models import AuditEntry, Person
from accounts.people_data import Who
from accounts.rules import Role
from assets.adoption import claiming, holding, passing, reminding, waiting
from assets.adoption.models import Adoption, AdoptionEntry, AdoptionWait, Handover
from assets.models import Asset, AssetKind
from assets.people_data import erase, held
from assets.vocabulary import AssetState
from core.clock import utc_now
from core.db import transaction
from core.errors import ConflictError
from core.models import OutboxEvent
from core.tokens import Purpose, token_for
from geo import jurisdictions
from geo.models import Jurisdiction
from tests.conftest import SECRET_KEY
from tests.factories import (
    SignedIn,
    new_adoption,
    new_asset,
    new_asset_kind,
    new_citizen,
    new_jurisdiction,
    new_person,
    new_staff,
    stored,
)
from tests.statements import count_statements

NOW = datetime.fromisoformat("2026-11-10T12:00:00+00:00")


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def kind(session: Session, city: Jurisdiction) -> AssetKind:
    return new_asset_kind(session, city)


@pytest.fixture
def asset(session: Session, kind: AssetKind) -> Asset:
    return new_asset(session, kind)


def at(asset: Asset | UUID, more: str = "") -> str:
    asset_id = asset.id if isinstance(asset, Asset) else asset
    return f"/api/v1/assets/{asset_id}/adoption{more}"


def adopt(client: FlaskClient, asset: Asset, who: SignedIn, **body: Any) -> Any:
    return client.post(at(asset), json=body, headers=who.headers)


def emitted(session: Session, name: str) -> list[OutboxEvent]:
    return list(
        session.scalars(
            sa.select(OutboxEvent).where(OutboxEvent.name == name).order_by(OutboxEvent.id)
        )
    )


# -- claiming -------------------------------------------------------------------------------------


def test_whoever_is_signed_in_adopts_and_everybody_sees_that_it_is_taken(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana = new_citizen(session, name="Ana Lopez", display="first")
    answer = adopt(client, asset, ana, shows_name=True)
    assert answer.status_code == 201
    assert answer.json["asset"]["id"] == str(asset.id)
    public = client.get(at(asset)).json
    assert [each["adopter"] for each in public["adopters"]] == ["Ana"]
    [row] = stored(session, Adoption)
    assert row.person_id == ana.id
    assert session.get_one(Asset, asset.id).adopters == 1
    assert session.get_one(Asset, asset.id).version == 1
    assert [each.entry for each in stored(session, AdoptionEntry)] == ["begun"]
    [event] = emitted(session, "adoption.begun")
    assert event.data == {"adoption_id": str(row.id), "asset_id": str(asset.id)}


def test_a_name_is_shown_by_choice_only(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana = new_citizen(session, name="Ana Lopez", display="full")
    adopt(client, asset, ana)
    assert [each["adopter"] for each in client.get(at(asset)).json["adopters"]] == [None]
    client.patch(at(asset), json={"shows_name": True}, headers=ana.headers)
    assert [each["adopter"] for each in client.get(at(asset)).json["adopters"]] == ["Ana Lopez"]


def test_nobody_adopts_for_somebody_else_by_a_field_of_the_body(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, other = new_citizen(session), new_citizen(session)
    for name in ("person_id", "user_id", "adopter", "email"):
        answer = adopt(client, asset, ana, **{name: str(other.id)})
        assert answer.status_code == 422, name
        assert name in str(answer.json["errors"])
    assert stored(session, Adoption) == []
    assert client.post(at(asset)).status_code == 401


def test_whoever_has_proved_no_contact_does_not_adopt(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    answer = adopt(client, asset, new_citizen(session, verified_at=None))
    assert (answer.status_code, answer.json["code"]) == (403, "not_verified")


def test_what_cannot_be_adopted_is_refused_by_its_reason(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind, asset: Asset
) -> None:
    ana = new_citizen(session)
    lamp = new_asset(session, new_asset_kind(session, city, is_adoptable=False))
    retired = new_asset(session, new_asset_kind(session, city, is_active=False))
    removed = new_asset(session, kind, state=AssetState.REMOVED)
    moved = new_asset(session, kind, state=AssetState.MOVED)
    for each, code in (
        (lamp, "not_adoptable"),
        (retired, "not_adoptable"),
        (removed, "asset_not_there"),
        (moved, "asset_not_there"),
    ):
        answer = adopt(client, each, ana)
        assert (answer.status_code, answer.json["code"]) == (409, code)
    assert client.post(at(UUID(int=7)), headers=ana.headers).status_code == 404
    assert adopt(client, asset, ana).status_code == 201
    twice = adopt(client, asset, ana)
    assert (twice.status_code, twice.json["code"]) == (409, "yours_already")
    assert len(stored(session, Adoption)) == 1


def test_an_asset_of_another_jurisdiction_is_refused_clearly(
    client: FlaskClient, session: Session, city: Jurisdiction, asset: Asset
) -> None:
    other = new_jurisdiction(session)
    answer = adopt(client, asset, new_citizen(session), jurisdiction=other.code)
    assert (answer.status_code, answer.json["code"]) == (422, "foreign_asset")
    assert answer.json["jurisdiction"] == city.code
    assert stored(session, Adoption) == []


def test_a_volunteer_holds_no_more_than_the_limit_and_what_is_gone_does_not_count(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    kind = new_asset_kind(session, city, adoption={"limit_per_volunteer": 2})
    ana = new_citizen(session)
    assets = [new_asset(session, kind) for _ in range(4)]
    for each in assets[:2]:
        assert adopt(client, each, ana).status_code == 201
    full = adopt(client, assets[2], ana)
    assert (full.status_code, full.json["code"]) == (409, "adoption_limit_reached")
    assert full.json["limit"] == 2
    session.get_one(Asset, assets[0].id).state = AssetState.REMOVED.value
    session.flush()
    assert adopt(client, assets[2], ana).status_code == 201


def test_a_kind_may_take_several_adopters(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    asset = new_asset(session, new_asset_kind(session, city, adoption={"capacity": 2}))
    people = [new_citizen(session) for _ in range(3)]
    answers = [adopt(client, asset, each).status_code for each in people]
    assert answers == [201, 201, 409]
    assert client.delete(at(asset), headers=people[0].headers).status_code == 204
    assert adopt(client, asset, people[2]).status_code == 201
    slots = sorted(row.slot for row in stored(session, Adoption) if row.ended_at is None)
    assert slots == [1, 2]


def test_whoever_comes_too_late_is_offered_the_list_and_the_nearest_free_ones(
    client: FlaskClient, session: Session, kind: AssetKind, asset: Asset
) -> None:
    free = new_asset(session, kind)
    new_adoption(session, new_asset(session, kind))
    new_adoption(session, asset)
    answer = adopt(client, asset, new_citizen(session))
    assert (answer.status_code, answer.json["code"]) == (409, "adopted")
    assert answer.json["waiting_list"].endswith(at(asset, "/waiting"))
    assert [each["id"] for each in answer.json["nearest_free"]] == [str(free.id)]


def test_the_database_itself_refuses_a_second_adopter_in_one_slot(
    session: Session, asset: Asset
) -> None:
    new_adoption(session, asset)
    with pytest.raises(sa.exc.IntegrityError, match="uq_adoptions_slot"):
        new_adoption(session, asset, slot=1)


def test_a_repeated_claim_under_its_key_is_the_same_claim(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    headers = {**new_citizen(session).headers, "Idempotency-Key": "one"}
    first, second = (client.post(at(asset), json={}, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json == second.json


def test_fifty_people_at_once_end_with_one_adopter_and_49_clear_answers(
    committed_db: Flask,
) -> None:
    """Over HTTP, on threads, against PostgreSQL."""
    jurisdictions.forget()
    with committed_db.app_context(), transaction() as session:
        kind = new_asset_kind(session)
        asset_id, free_id = new_asset(session, kind).id, new_asset(session, kind).id
        people = [new_citizen(session) for _ in range(50)]
        headers = [dict(each.headers) for each in people]
        ids = {each.id for each in people}
    server = make_server("127.0.0.1", 0, committed_db, threaded=True)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    url = f"http://127.0.0.1:{server.server_port}{at(asset_id)}"
    start = threading.Barrier(50)
    answers: list[Any] = [None] * 50

    def press(number: int) -> None:
        start.wait()
        answers[number] = requests.post(url, json={}, headers=headers[number], timeout=60)

    threads = [threading.Thread(target=press, args=(number,)) for number in range(50)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] + [409] * 49
    for answer in answers:
        if answer.status_code == 409:
            document = answer.json()
            assert document["code"] == "adopted"
            assert document["waiting_list"].endswith("/adoption/waiting")
            assert [each["id"] for each in document["nearest_free"]] == [str(free_id)]
    with committed_db.app_context(), transaction() as session:
        [adoption] = session.scalars(sa.select(Adoption)).all()
        assert adoption.person_id in ids
        assert session.get_one(Asset, asset_id).adopters == 1


# -- letting go -----------------------------------------------------------------------------------


def test_only_the_adopter_releases_and_the_history_stays(
    client: FlaskClient, session: Session, city: Jurisdiction, asset: Asset
) -> None:
    ana, other = new_citizen(session), new_citizen(session)
    adopt(client, asset, ana)
    refused = client.delete(at(asset), headers=other.headers)
    assert (refused.status_code, refused.json["code"]) == (404, "not_yours")
    assert client.delete(at(asset), headers=ana.headers).status_code == 204
    assert client.delete(at(asset), headers=ana.headers).status_code == 404
    assert session.get_one(Asset, asset.id).adopters == 0
    assert adopt(client, asset, other).status_code == 201
    coordinator = new_staff(session, city, Role.COORDINATOR)
    told = client.get(at(asset, "/history"), headers=coordinator.headers).json["items"]
    assert [(each["entry"], each["by"]) for each in told] == [
        ("begun", str(ana.id)),
        ("ended", str(ana.id)),
        ("begun", str(other.id)),
    ]


def test_a_coordinator_ends_an_adoption_with_a_reason_and_leaves_a_trace(
    client: FlaskClient, session: Session, city: Jurisdiction, asset: Asset
) -> None:
    adoption = new_adoption(session, asset)
    coordinator = new_staff(session, city, Role.COORDINATOR)
    answer = client.post(
        f"/api/v1/adoptions/{adoption.id}/end",
        json={"reason": "Has moved away"},
        headers=coordinator.headers,
    )
    assert answer.status_code == 200
    [row] = stored(session, Adoption)
    assert (row.ended_because, row.end_note) == ("by_staff", "Has moved away")
    assert stored(session, AuditEntry, action="adoption.ended")
    [event] = emitted(session, "adoption.ended")
    assert event.data["reason"] == "by_staff"


def test_ones_own_list_shows_what_one_holds_and_where_one_waits(
    client: FlaskClient, session: Session, kind: AssetKind, asset: Asset
) -> None:
    ana = new_citizen(session)
    others = [new_asset(session, kind) for _ in range(2)]
    for each in (*others, asset):
        adopt(client, each, ana)
    client.delete(at(asset), headers=ana.headers)
    busy = new_asset(session, kind)
    new_adoption(session, busy)
    client.post(at(busy, "/waiting"), headers=ana.headers)
    listed = client.get("/api/v1/me/adoptions?limit=1", headers=ana.headers).json
    assert [each["asset"]["id"] for each in listed["items"]] == [str(others[1].id)]
    assert [each["position"] for each in listed["waiting"]] == [1]
    rest = client.get(
        f"/api/v1/me/adoptions?limit=1&cursor={listed['next']}", headers=ana.headers
    ).json
    assert [each["asset"]["id"] for each in rest["items"]] == [str(others[0].id)]
    assert rest["next"] is None
    over = client.get("/api/v1/me/adoptions?ended=true", headers=ana.headers).json["items"]
    assert [each["ended_because"] for each in over] == ["released"]
    wrong = client.get("/api/v1/me/adoptions?cursor=x", headers=ana.headers)
    assert wrong.json["code"] == "bad_cursor"


# -- names ----------------------------------------------------------------------------------------


def test_a_name_is_public_once_somebody_approved_it(
    client: FlaskClient, session: Session, city: Jurisdiction, asset: Asset
) -> None:
    ana, coordinator = new_citizen(session), new_staff(session, city, Role.COORDINATOR)
    adoption = adopt(client, asset, ana, name="  Hector ").json
    assert (adoption["name"], adoption["name_wanted"]) == (None, "Hector")
    assert client.get(at(asset)).json["adopters"][0]["name"] is None
    waits = client.get("/api/v1/adoptions/names", headers=coordinator.headers).json["items"]
    assert [each["name_wanted"] for each in waits] == ["Hector"]
    url = f"/api/v1/adoptions/{adoption['id']}/name"
    assert client.post(url, json={"approve": True}, headers=ana.headers).status_code == 403
    foreign = new_staff(session, new_jurisdiction(session), Role.COORDINATOR)
    assert client.post(url, json={"approve": True}, headers=foreign.headers).status_code == 404
    client.post(url, json={"approve": True}, headers=coordinator.headers)
    assert client.get(at(asset)).json["adopters"][0]["name"] == "Hector"
    again = client.post(url, json={"approve": True}, headers=coordinator.headers)
    assert (again.status_code, again.json["code"]) == (409, "no_name_waits")


def test_a_name_that_is_refused_leaves_the_one_before(
    client: FlaskClient, session: Session, city: Jurisdiction, asset: Asset
) -> None:
    ana, coordinator = new_citizen(session), new_staff(session, city, Role.COORDINATOR)
    new_adoption(session, asset, ana.person, name="Hector")
    changed = client.patch(at(asset), json={"name": "Something rude"}, headers=ana.headers)
    url = f"/api/v1/adoptions/{changed.json['id']}/name"
    body = {"approve": False, "reason": "Children read this."}
    client.post(url, json=body, headers=coordinator.headers)
    [mine] = client.get("/api/v1/me/adoptions", headers=ana.headers).json["items"]
    assert (mine["name"], mine["name_wanted"]) == ("Hector", None)
    assert mine["name_reason"] == "Children read this."
    [event] = emitted(session, "adoption.named")
    assert event.data["decision"] == "refused"
    assert "rude" not in str(event.data)


# -- term -----------------------------------------------------------------------------------------


def _settled(session: Session, asset: Asset, **values: Any) -> Adoption:
    """An adoption whose term ends now."""
    return new_adoption(
        session,
        asset,
        now=NOW - timedelta(days=365),
        until=NOW,
        **{"next_step_at": NOW - timedelta(days=30), **values},
    )


def test_the_clock_reminds_nudges_and_ends_and_each_is_told_once(
    session: Session, asset: Asset
) -> None:
    adoption = _settled(session, asset)
    for day in range(-31, 30):
        now = NOW + timedelta(days=day)
        for _ in range(2):
            reminding.take_steps(session, now=now)
    said = [
        (each.entry, (each.at - NOW).days)
        for each in stored(session, AdoptionEntry, adoption_id=adoption.id)
    ]
    assert said == [
        ("reminded", -30),
        ("reminded", -7),
        ("nudged", 0),
        ("nudged", 7),
        ("nudged", 14),
        ("ended", 21),
    ]
    steps = [each.data["step"] for each in emitted(session, "adoption.reminded")]
    assert steps == ["remind", "remind", "nudge", "nudge", "nudge"]
    session.refresh(adoption)
    assert adoption.ended_because == "lapsed"
    assert session.get_one(Asset, asset.id).adopters == 0


def test_a_renewal_answers_every_nudge(
    client: FlaskClient, session: Session, kind: AssetKind, asset: Asset
) -> None:
    ana = new_citizen(session)
    adoption = _settled(session, asset, person=ana.person, reminded=2, nudged=2, nudged_at=NOW)
    answer = client.post(at(asset, "/renewal"), headers=ana.headers)
    assert answer.status_code == 200
    session.refresh(adoption)
    assert (adoption.reminded, adoption.nudged) == (0, 0)
    assert adoption.until > utc_now() + timedelta(days=364)
    assert adoption.next_step_at == adoption.until - timedelta(days=30)
    other = new_citizen(session)
    assert client.post(at(asset, "/renewal"), headers=other.headers).status_code == 404


def test_a_batch_of_reminders_costs_a_fixed_number_of_statements(
    session: Session, kind: AssetKind
) -> None:
    counts = []
    # The first one also reads what a process remembers.
    for size in (1, 2, 12):
        for _ in range(size):
            _settled(session, new_asset(session, kind), next_step_at=NOW)
        session.commit()
        with count_statements() as sent:
            assert reminding.take_steps(session, now=NOW) == size
        counts.append(len(sent))
    assert counts[1] == counts[2]


# -- the waiting list -----------------------------------------------------------------------------


def test_the_next_in_line_is_offered_the_place_which_is_kept_for_them(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, ben, cleo, dan = (new_citizen(session) for _ in range(4))
    adopt(client, asset, ana)
    assert client.post(at(asset, "/waiting"), headers=ben.headers).json["position"] == 1
    assert client.post(at(asset, "/waiting"), headers=cleo.headers).json["position"] == 2
    assert client.post(at(asset, "/waiting"), headers=cleo.headers).json["position"] == 2
    mine = client.post(at(asset, "/waiting"), headers=ana.headers)
    assert (mine.status_code, mine.json["code"]) == (409, "yours_already")
    client.delete(at(asset), headers=ana.headers)
    [event] = emitted(session, "adoption.offered")
    [wait] = stored(session, AdoptionWait, person_id=ben.id)
    assert event.data["wait_id"] == str(wait.id)
    assert wait.state == "offered"
    kept = adopt(client, asset, dan)
    assert (kept.status_code, kept.json["code"]) == (409, "adopted")
    assert adopt(client, asset, ben).status_code == 201
    session.refresh(wait)
    assert wait.state == "accepted"


def test_nobody_waits_for_what_is_free(client: FlaskClient, session: Session, asset: Asset) -> None:
    answer = client.post(at(asset, "/waiting"), headers=new_citizen(session).headers)
    assert (answer.status_code, answer.json["code"]) == (409, "free_to_adopt")


def test_whoever_declines_or_does_not_answer_lets_the_next_one_in(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, ben, cleo, dan = (new_citizen(session) for _ in range(4))
    adopt(client, asset, ana)
    for each in (ben, cleo, dan):
        client.post(at(asset, "/waiting"), headers=each.headers)
    client.delete(at(asset), headers=ana.headers)
    assert client.delete(at(asset, "/waiting"), headers=ben.headers).status_code == 204
    assert client.delete(at(asset, "/waiting"), headers=ben.headers).status_code == 404

    def states() -> list[str]:
        rows = stored(session, AdoptionWait)
        return [row.state for row in rows]

    assert states() == ["left", "offered", "waiting"]
    assert waiting.see_to_lists(session, now=utc_now()) == 0
    assert waiting.see_to_lists(session, now=utc_now() + timedelta(days=4)) == 1
    assert states() == ["left", "expired", "offered"]
    assert waiting.see_to_lists(session, now=utc_now() + timedelta(days=4)) == 0


def test_a_list_moves_on_when_its_asset_comes_back(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, ben = new_citizen(session), new_citizen(session)
    adopt(client, asset, ana)
    client.post(at(asset, "/waiting"), headers=ben.headers)
    session.get_one(Asset, asset.id).state = AssetState.REMOVED.value
    client.delete(at(asset), headers=ana.headers)
    assert waiting.see_to_lists(session, now=NOW) == 0
    session.get_one(Asset, asset.id).state = AssetState.IN_SERVICE.value
    session.flush()
    assert waiting.see_to_lists(session, now=NOW) == 1
    [wait] = stored(session, AdoptionWait)
    assert wait.state == "offered"


# -- hand-over ------------------------------------------------------------------------------------


def test_a_hand_over_needs_the_other_sides_word(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, ben = new_citizen(session), new_citizen(session)
    waits = new_citizen(session)
    adopt(client, asset, ana, name="Hector")
    client.post(at(asset, "/waiting"), headers=waits.headers)
    body = {"email": ben.person.email}
    offered = client.post(at(asset, "/handover"), json=body, headers=ana.headers)
    assert offered.status_code == 201
    twice = client.post(at(asset, "/handover"), json=body, headers=ana.headers)
    assert (twice.status_code, twice.json["code"]) == (409, "handover_open")
    [row] = [each for each in stored(session, Adoption) if each.ended_at is None]
    assert row.person_id == ana.id
    url = f"/api/v1/handovers/{offered.json['id']}/acceptance"
    assert client.post(url, headers=waits.headers).status_code == 404
    assert client.post(url, headers=ana.headers).status_code == 404
    assert client.post(url, headers=ben.headers).status_code == 201
    assert client.post(url, headers=ben.headers).status_code in (404, 410)
    before, after = stored(session, Adoption)
    assert (before.person_id, before.ended_because) == (ana.id, "handed_over")
    assert (after.person_id, after.ended_at, after.slot) == (ben.id, None, 1)
    # The place was never free: nobody on the list was asked.
    assert emitted(session, "adoption.offered") == []
    [handover] = stored(session, Handover)
    assert (handover.state, handover.email) == ("accepted", None)
    [event] = emitted(session, "handover.answered")
    assert event.data["answer"] == "accepted"


def test_a_hand_over_is_offered_in_the_language_of_who_reads_it(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, ben = new_citizen(session, locale="en"), new_citizen(session, locale="fr")
    adopt(client, asset, ana)
    for email in (ben.person.email, "nobody-we-know@ville.example"):
        body = {"email": email}
        assert (
            client.post(at(asset, "/handover"), json=body, headers=ana.headers).status_code == 201
        )
        client.delete(at(asset, "/handover"), headers=ana.headers)
    known, unknown = sorted(stored(session, Handover), key=lambda each: each.offered_at)
    assert (known.locale, unknown.locale) == ("fr", "en")


def test_a_hand_over_is_refused_withdrawn_or_ends(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, ben = new_citizen(session), new_citizen(session)
    adopt(client, asset, ana)
    body = {"email": ben.person.email}
    for wrong in (ana.person.email, "no address"):
        answer = client.post(at(asset, "/handover"), json={"email": wrong}, headers=ana.headers)
        assert (answer.status_code, answer.json["code"]) == (422, "not_an_address")
    first = client.post(at(asset, "/handover"), json=body, headers=ana.headers).json
    refusal = f"/api/v1/handovers/{first['id']}/refusal"
    assert client.post(refusal, headers=ben.headers).status_code == 204
    client.post(at(asset, "/handover"), json=body, headers=ana.headers)
    assert client.delete(at(asset, "/handover"), headers=ana.headers).status_code == 204
    assert client.delete(at(asset, "/handover"), headers=ana.headers).status_code == 404
    client.post(at(asset, "/handover"), json=body, headers=ana.headers)
    assert passing.expire(session, now=utc_now()) == 0
    assert passing.expire(session, now=utc_now() + timedelta(days=8)) == 1
    states = [row.state for row in stored(session, Handover)]
    assert states == ["refused", "withdrawn", "expired"]
    answers = [each.data["answer"] for each in emitted(session, "handover.answered")]
    assert answers == ["refused", "expired"]
    [adoption] = stored(session, Adoption)
    assert adoption.ended_at is None


# -- links ----------------------------------------------------------------------------------------


def link(kind: str, row_id: UUID, purpose: Purpose, version: int = 1) -> str:
    return f"/{kind}/{row_id}/{token_for(SECRET_KEY, purpose, row_id, version)}?lang=en"


def test_the_link_of_a_reminder_shows_and_its_buttons_act(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    adoption = _settled(session, asset)
    url = link("adoptions", adoption.id, Purpose.ADOPTION)
    before = adoption.until
    shown = client.get(url)
    assert shown.status_code == 200
    assert "Do you go on?" in shown.text
    assert shown.headers["Cache-Control"] == "no-store"
    session.refresh(adoption)
    assert adoption.until == before
    assert client.post(url, data={"choice": "renew"}).status_code == 200
    session.refresh(adoption)
    assert adoption.until > before
    assert client.post(url, data={"choice": "sell"}).status_code == 404
    assert "It is let go." in client.post(url, data={"choice": "release"}).text
    # It was used up: the adoption has ended.
    for call in (client.get, client.post):
        assert call(url).status_code == 410


def test_a_foreign_link_opens_nothing(
    client: FlaskClient, session: Session, kind: AssetKind, asset: Asset
) -> None:
    mine = new_adoption(session, asset)
    other = new_adoption(session, new_asset(session, kind))
    token = token_for(SECRET_KEY, Purpose.ADOPTION, other.id, 1)
    for path in (
        f"/adoptions/{mine.id}/{token}",
        f"/adoptions/{mine.id}/{token_for(SECRET_KEY, Purpose.OFFER, mine.id, 1)}",
        f"/offers/{mine.id}/{token}",
        f"/handovers/{mine.id}/{token}",
    ):
        assert client.get(path).status_code == 404
        assert client.post(path, data={"choice": "release"}).status_code == 404
    assert session.get_one(Adoption, mine.id).ended_at is None


def test_an_offer_is_taken_or_left_by_its_link(
    client: FlaskClient, session: Session, kind: AssetKind
) -> None:
    for choice, said in (("accept", "It is yours now."), ("decline", "off the list")):
        asset = new_asset(session, kind)
        ana, ben = new_citizen(session), new_citizen(session)
        adopt(client, asset, ana)
        client.post(at(asset, "/waiting"), headers=ben.headers)
        client.delete(at(asset), headers=ana.headers)
        [wait] = stored(session, AdoptionWait, asset_id=asset.id)
        url = link("offers", wait.id, Purpose.OFFER)
        assert "It is your turn." in client.get(url).text
        assert said in client.post(url, data={"choice": choice}).text
        assert client.post(url, data={"choice": choice}).status_code == 410


def test_a_hand_over_by_link_gives_whoever_has_no_account_one(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana = new_citizen(session)
    adopt(client, asset, ana)
    body = {"email": "New.Person@Courriel.example"}
    client.post(at(asset, "/handover"), json=body, headers=ana.headers)
    [handover] = stored(session, Handover)
    url = link("handovers", handover.id, Purpose.HANDOVER)
    assert "Would you look after it?" in client.get(url).text
    assert stored(session, Person, email="new.person@courriel.example") == []
    assert "It is yours now." in client.post(url, data={"choice": "accept"}).text
    [person] = stored(session, Person, email="new.person@courriel.example")
    assert person.verified_at is not None
    assert [row.person_id for row in stored(session, Adoption)] == [ana.id, person.id]


def test_whoever_is_at_the_limit_is_told_on_the_page_and_keeps_the_offer(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    kind = new_asset_kind(session, city, adoption={"limit_per_volunteer": 1})
    asset = new_asset(session, kind)
    ana, ben = new_citizen(session), new_citizen(session)
    adopt(client, asset, ana)
    client.post(at(asset, "/waiting"), headers=ben.headers)
    new_adoption(session, new_asset(session, kind), ben.person)
    client.delete(at(asset), headers=ana.headers)
    [wait] = stored(session, AdoptionWait)
    url = link("offers", wait.id, Purpose.OFFER)
    answer = client.post(url, data={"choice": "accept"})
    assert answer.status_code == 409
    assert "Let one go first." in answer.text
    session.refresh(wait)
    assert wait.state == "offered"


# -- people ---------------------------------------------------------------------------------------


def test_erasing_somebody_lets_everything_go_and_asks_the_next(
    client: FlaskClient, session: Session, asset: Asset, kind: AssetKind
) -> None:
    ana, ben = new_citizen(session), new_citizen(session)
    adopt(client, asset, ana, name="Hector")
    client.post(at(asset, "/waiting"), headers=ben.headers)
    offered = new_asset(session, kind)
    new_adoption(session, offered, ben.person)
    body = {"email": ana.person.email}
    client.post(at(offered, "/handover"), json=body, headers=ben.headers)
    who = Who(ana.id, ana.person.email)
    documents = held(session, who).documents
    assert [each["name_wanted"] for each in documents["adoptions"]] == ["Hector"]
    assert len(documents["handovers"]) == 1
    counts = erase(session, who, NOW).counts
    gone = {what: count for what, count in counts.items() if count}
    assert gone == {"adoptions": 1, "handovers": 1}
    assert erase(session, who, NOW).counts["adoptions"] == 0
    [row] = stored(session, Adoption, person_id=ana.id)
    assert (row.ended_because, row.name, row.name_wanted) == ("erased", None, None)
    [wait] = stored(session, AdoptionWait, person_id=ben.id)
    assert wait.state == "offered"


def test_changes_of_one_asset_wait_for_one_another(committed_db: Flask) -> None:
    """Somebody adopts while the adopter releases: both end, in one order or the other."""
    jurisdictions.forget()
    with committed_db.app_context(), transaction() as session:
        asset = new_asset(session)
        adoption = new_adoption(session, asset)
        asset_id, holder = asset.id, adoption.person_id
        people = [new_person(session).id for _ in range(8)]
    outcomes: list[str] = []

    def work(person_id: UUID | None) -> None:
        with committed_db.app_context():
            try:
                with transaction() as session:
                    if person_id is None:
                        claiming.release(session, holder, asset_id, now=NOW)
                    else:
                        claiming.adopt(session, person_id, asset_id, claiming.Wish(), now=NOW)
                outcomes.append("done")
            except ConflictError as error:
                outcomes.append(error.code)

    threads = [
        threading.Thread(target=work, args=(who,)) for who in (*people[:4], None, *people[4:])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with committed_db.app_context(), transaction() as session:
        active: Sequence[Adoption] = holding.adoptions_of(session, asset_id)
        assert len(active) <= 1
        assert session.get_one(Asset, asset_id).adopters == len(active)
        assert outcomes.count("done") == 1 + len(active)
