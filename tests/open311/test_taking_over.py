"""What staff see of reports that go to other systems, and do about what waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.models import AuditEntry
from accounts.people_data import Who
from accounts.rules import Role
from core.clock import utc_now
from core.ids import new_id
from open311 import people_data
from open311.downstream_models import DownstreamEndpoint, Forwarding
from open311.models import FiledContent, LinkedPhoto
from reports.models import ServiceRequest
from reports.vocabulary import Status
from tests.factories import SignedIn, new_follower, new_report, new_staff, new_team, stored
from tests.open311.foreign import Foreign, running
from tests.open311.handing import Handing, settle
from tests.statements import count_statements

BASE = "/api/v1"


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    with running() as system:
        yield system


@pytest.fixture
def handing(session: Session, foreign: Foreign) -> Handing:
    return settle(session, foreign)


@pytest.fixture
def agent(session: Session, handing: Handing) -> SignedIn:
    return new_staff(session, handing.city)


class Desk:
    """Somebody of the staff at work on one report."""

    def __init__(self, client: FlaskClient, who: SignedIn, report: ServiceRequest) -> None:
        self.client, self.who, self.url = client, who, f"{BASE}/reports/{report.id}/forwardings"

    def look(self) -> Any:
        return self.client.get(self.url, headers=self.who.headers)

    def one(self) -> dict[str, Any]:
        [document] = self.look().json["items"]
        return dict(document)

    def do(self, what: str, body: Any = None, **headers: str) -> Any:
        url = f"{self.url}/{self.one()['id']}/{what}"
        return self.client.post(url, json=body or {}, headers=self.who.headers | headers)


def refused(handing: Handing, foreign: Foreign, **values: Any) -> ServiceRequest:
    """A report that they did not want."""
    foreign.fail("400")
    report = handing.report(**values)
    handing.queue(report)
    assert handing.step() == {"stuck": 1}
    return report


def test_attempts_state_number_and_next_try_are_shown(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn
) -> None:
    foreign.fail("refused")
    report = handing.report()
    handing.queue(report)
    handing.step()
    desk = Desk(client, agent, report)
    answer = desk.look()
    assert answer.headers["Cache-Control"] == "private, no-store"
    handing.session.refresh(report)
    assert answer.headers["ETag"] == f'"{report.version}"'
    shown = desk.one()
    assert (shown["state"], shown["endpoint"], shown["number"], shown["jurisdiction"]) == (
        "waiting",
        "lampes",
        report.number,
        "ville",
    )
    assert shown["next_attempt_at"] > shown["created_at"]
    [attempt] = shown["attempts"]
    # Nobody knows yet.
    assert (attempt["outcome"], attempt["fault"]) == (None, shown["last_fault"])
    handing.run(hours=1)
    shown = desk.one()
    assert (shown["state"], shown["remote_id"], shown["next_attempt_at"]) == ("sent", "1", None)
    assert [each["outcome"] for each in shown["attempts"]] == ["absent", "taken"]
    assert (shown["last_fault"], shown["last_words"]) == (None, None)


def test_their_last_words_are_shown_without_the_reporters_contact(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn, session: Session
) -> None:
    foreign.fail("echo")
    report = handing.report(
        description="Lampe éteinte. Ana Roux, 06 12 34 56 78, Ana@Exemple.org. Merci."
    )
    new_follower(
        session,
        report,
        is_reporter=True,
        name="Ana Roux",
        email="ana@exemple.org",
        phone="+33612345678",
    )
    handing.queue(report)
    handing.step()
    shown = Desk(client, agent, report).one()
    assert shown["last_words"] == "400: Lampe éteinte. […], […], […]. Merci."
    assert shown["last_fault"] == "http 400"
    [note] = handing.notes_of(report)
    assert "Roux" not in note
    assert "Lampe éteinte." in note


def test_what_waits_for_a_person_is_sent_again(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn, session: Session
) -> None:
    report = refused(handing, foreign)
    desk = Desk(client, agent, report)
    before = desk.look().headers["ETag"]
    answer = desk.do("retry", **{"If-Match": before})
    assert (answer.status_code, answer.json["state"]) == (200, "waiting")
    session.refresh(report)
    assert answer.headers["ETag"] == f'"{report.version}"' != before
    assert handing.notes_of(report)[-1] == "À renvoyer à lampes."
    [entry] = stored(session, AuditEntry, action="report.changed")
    assert (entry.data["what"], entry.actor_id) == ("retry_forwarding", agent.person.id)
    # Twice is no use, and a stale version neither.
    assert desk.do("retry").status_code == 409
    assert desk.do("retry", **{"If-Match": before}).status_code == 412
    handing.later(seconds=30)
    assert handing.step() == {"sent": 1}
    assert desk.do("retry").json["code"] == "forwarding_not_stuck"


def test_a_repeated_call_is_carried_out_once(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn
) -> None:
    report = refused(handing, foreign)
    desk = Desk(client, agent, report)
    answers = [desk.do("retry", **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert handing.notes_of(report).count("À renvoyer à lampes.") == 1


def test_what_was_lost_is_looked_for_unless_somebody_knows_that_it_is_not_there(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn
) -> None:
    foreign.kind = "blackbox"
    foreign.fail("lost")
    report = handing.report()
    handing.queue(report)
    handing.run(days=1)
    desk = Desk(client, agent, report)
    assert desk.one()["state"] == "stuck"
    assert desk.do("retry").json["attempts"][0]["outcome"] is None
    handing.run(days=1)
    assert (desk.one()["state"], len(foreign.posts)) == ("stuck", 1)
    again = desk.do("retry", {"surely_absent": True})
    assert again.json["attempts"][0]["outcome"] == "absent"
    handing.later(seconds=30)
    handing.step()
    assert len(foreign.posts) == 2


def test_a_person_takes_it_over_and_settles_it(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn
) -> None:
    report = handing.report()
    handing.queue(report)
    desk = Desk(client, agent, report)
    assert desk.do("settlement").status_code == 409
    taken = desk.do("by-hand")
    assert (taken.json["state"], taken.json["last_fault"]) == ("stuck", "by_hand")
    assert desk.do("by-hand").json["code"] == "forwarding_not_waiting"
    handing.run(days=1)
    assert foreign.posts == []
    settled = desk.do("settlement")
    assert (settled.json["state"], settled.json["remote_id"]) == ("cancelled", None)
    assert handing.notes_of(report) == [
        "L’envoi à lampes est arrêté : une personne s’en charge.",
        "L’envoi à lampes est réglé autrement.",
    ]


def test_a_number_that_somebody_asked_for_is_followed(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn
) -> None:
    foreign.hides = True
    foreign.fail("lost 500")
    report = handing.report()
    handing.queue(report)
    handing.step()
    desk = Desk(client, agent, report)
    desk.do("by-hand")
    settled = desk.do("settlement", {"remote_id": "1"})
    assert (settled.json["state"], settled.json["remote_id"]) == ("sent", "1")
    assert settled.json["attempts"][0]["outcome"] == "found"
    foreign.hides = False
    handing.later(minutes=10)
    foreign.say("1", "closed", handing.now)
    handing.poll()
    handing.session.refresh(report)
    assert report.status == Status.RESOLVED


def test_a_word_that_comes_after_somebody_took_it_over_is_believed(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn
) -> None:
    report = handing.report()
    handing.queue(report)
    jobs = handing.claim()
    desk = Desk(client, agent, report)
    desk.do("by-hand")
    assert handing.record(handing.carry_out(jobs)) == {"sent": 1}
    assert (desk.one()["state"], desk.one()["remote_id"]) == ("sent", "1")


@pytest.mark.parametrize("what", ["retry", "by-hand", "settlement"])
def test_only_those_who_work_on_it_do_and_only_to_what_is_there(
    handing: Handing,
    foreign: Foreign,
    client: FlaskClient,
    agent: SignedIn,
    session: Session,
    what: str,
) -> None:
    report = refused(handing, foreign)
    other_report = new_report(session, handing.service)
    other_team = new_team(session, handing.city, code="voirie")
    found = f"{Desk(client, agent, report).one()['id']}/{what}"
    viewer = new_staff(session, handing.city, Role.VIEWER)
    stranger = new_staff(session, handing.city, team=other_team)
    for who, status in ((viewer, 403), (stranger, 404)):
        answer = client.post(
            f"{BASE}/reports/{report.id}/forwardings/{found}", json={}, headers=who.headers
        )
        assert answer.status_code == status
    for url in (
        f"{BASE}/reports/{other_report.id}/forwardings/{found}",
        f"{BASE}/reports/{report.id}/forwardings/{new_id()}/{what}",
    ):
        assert client.post(url, json={}, headers=agent.headers).status_code == 404
    assert client.get(f"{BASE}/reports/{report.id}/forwardings").status_code == 401


def test_of_an_endpoint_that_left_the_folder_nothing_is_sent_again(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn, session: Session
) -> None:
    report = refused(handing, foreign)
    session.execute(sa.update(DownstreamEndpoint).values(is_active=False))
    answer = Desk(client, agent, report).do("retry")
    assert (answer.status_code, answer.json["code"]) == (409, "endpoint_gone")


# -- what waits -----------------------------------------------------------------------------------


def test_what_waits_for_a_person_is_listed_page_by_page(
    handing: Handing, foreign: Foreign, client: FlaskClient, agent: SignedIn, session: Session
) -> None:
    waiting = []
    for number in range(5):
        waiting.append(str(refused(handing, foreign).id))
        handing.later(seconds=number)
    queued = handing.report()
    handing.queue(queued)
    seen: list[str] = []
    cursor: str | None = None
    for pages in (2, 2, 1):
        query = {"limit": 2, "jurisdiction": "ville", **({"cursor": cursor} if cursor else {})}
        answer: Any = client.get(f"{BASE}/forwardings", query_string=query, headers=agent.headers)
        assert len(answer.json["items"]) == pages
        seen += [item["report_id"] for item in answer.json["items"]]
        cursor = answer.json["next"]
    assert (seen, cursor) == (waiting, None)
    answer = client.get(f"{BASE}/forwardings?state=waiting", headers=agent.headers)
    assert [item["report_id"] for item in answer.json["items"]] == [str(queued.id)]


def test_the_list_is_of_ones_own_scope_and_costs_the_same_however_long(
    handing: Handing,
    foreign: Foreign,
    client: FlaskClient,
    agent: SignedIn,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.factories import new_jurisdiction

    refused(handing, foreign)
    mine = new_staff(session, handing.city, team=handing.team)
    others = new_staff(session, handing.city, team=new_team(session, handing.city, code="voirie"))
    abroad = new_staff(session, new_jurisdiction(session, code="ailleurs"))

    def shown(who: SignedIn, **query: Any) -> Any:
        return client.get(f"{BASE}/forwardings", query_string=query, headers=who.headers)

    counts = [len(shown(who).json["items"]) for who in (agent, mine, others, abroad)]
    assert counts == [1, 1, 0, 0]
    assert shown(agent, jurisdiction="ailleurs").json["items"] == []
    for faulty in ({"cursor": "x"}, {"cursor": "WzEsMl0"}, {"state": "sent"}, {"limit": 0}):
        assert shown(agent, **faulty).status_code == 422
    assert shown(agent, jurisdiction="nowhere").status_code in (404, 422)
    # Once a second the jurisdictions are looked at, too: not within what is counted.
    monkeypatch.setattr("geo.jurisdictions.CHECK_EVERY_S", 3600.0)
    shown(agent)
    with count_statements() as few:
        shown(agent)
    for _ in range(4):
        refused(handing, foreign)
    shown(agent)
    with count_statements() as many:
        shown(agent)
    assert len(few) == len(many)


# -- people ---------------------------------------------------------------------------------------


def test_whoever_is_erased_is_erased_from_the_words_of_other_systems(
    handing: Handing, foreign: Foreign, session: Session
) -> None:
    who = Who(email="ana@exemple.org", names=frozenset({"Ana Roux"}))
    own, other = refused(handing, foreign), refused(handing, foreign)
    new_follower(session, own, is_reporter=True, name="Ana Roux", email="ana@exemple.org")
    own_row, other_row = handing.forwarding_of(own), handing.forwarding_of(other)
    # As it may stand there from before somebody became known as the reporter.
    own_row.last_words = "Ask M. Roux or ana@exemple.org."
    other_row.last_words = "Like that of ANA@exemple.org, near M. Roux."
    session.add_all(
        [
            LinkedPhoto(
                report_id=own.id,
                url="https://photos.example/ana-roux.jpg",
                next_attempt_at=utc_now(),
                created_at=utc_now(),
            ),
            FiledContent(digest=b"x" * 32, report_id=own.id, filed_at=utc_now()),
        ]
    )
    session.flush()
    held = people_data.held(session, who)
    assert [row["last_words"] for row in held.documents["forwarded"]] == [own_row.last_words]
    assert [row["url"] for row in held.documents["photos_to_fetch"]] == [
        "https://photos.example/ana-roux.jpg"
    ]
    for changed in (2, 0):
        erased = people_data.erase(session, who, utc_now())
        assert erased.counts["words of other systems"] == changed
    assert handing.forwarding_of(own).last_words == "Ask M. […] or […]."
    assert handing.forwarding_of(other).last_words == "Like that of […], near M. Roux."
    assert session.scalars(sa.select(LinkedPhoto.id)).all() == []
    assert session.scalars(sa.select(FiledContent.digest)).all() == []


def test_what_was_handed_over_is_told_to_whoever_is_erased(
    handing: Handing, foreign: Foreign, session: Session
) -> None:
    report = handing.report()
    new_follower(session, report, is_reporter=True, email="ana@exemple.org")
    handing.queue(report)
    handing.step()
    erased = people_data.erase(session, Who(email="ana@exemple.org"), utc_now())
    assert erased.kept == (
        ["1 reports were handed to other systems, which keep what they were told"]
    )


def test_retention_takes_their_words_along(
    handing: Handing, foreign: Foreign, session: Session
) -> None:
    report = refused(handing, foreign)
    assert handing.forwarding_of(report).last_words is not None
    people_data.forget_reports(session, [UUID(str(report.id))])
    row = handing.forwarding_of(report)
    session.refresh(row)
    assert row.last_words is None
    assert stored(session, Forwarding, state="stuck") == [row]
    assert utc_now() - row.created_at < timedelta(days=1)
