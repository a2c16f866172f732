"""Handing reports over: whatever the other system does, nothing is lost and nothing doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core.models import OutboxEvent
from core.outgoing import NOTHING_ALLOWED
from open311.downstream import EndpointSpec, ServiceMap, load_endpoints
from open311.forwarding import queueing
from open311.rules import CIRCUIT_OPENS_AFTER, MAX_FAILURES, ListStyle
from reports.vocabulary import PhotoState, Status
from tests.factories import COMEDIE, new_follower, new_photo, new_service, new_team, stored
from tests.open311.foreign import Foreign, running
from tests.open311.handing import BASE, Handing, settle


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    with running() as system:
        yield system


@pytest.fixture
def handing(session: Session, foreign: Foreign) -> Handing:
    return settle(session, foreign)


Settle = Callable[..., Handing]


@pytest.fixture
def settled(session: Session, foreign: Foreign) -> Settle:
    """A function that makes the client with an endpoint of its own."""
    return lambda **spec: settle(session, foreign, **spec)


# -- the plain way --------------------------------------------------------------------------------


def test_a_routed_report_is_handed_over_in_parameters_of_the_standard(
    handing: Handing, foreign: Foreign
) -> None:
    report = handing.report(description="Un lampadaire,\néteint & “penché”.")
    handing.queue(report)
    assert handing.step() == {"sent": 1}

    [post] = foreign.posts
    assert post.path.endswith("/v2/requests.json")
    assert post.fields == {
        "api_key": "the key of the lamps",
        "service_code": "lampe",
        "lat": f"{COMEDIE.lat:.7f}",
        "long": f"{COMEDIE.lon:.7f}",
        "address_string": "1 place de la Comédie",
        "description": "Un lampadaire,\néteint & “penché”.",
    }
    row = handing.forwarding_of(report)
    assert (row.state, row.remote_id) == ("sent", "1")
    assert handing.attempts_of(report) == ["taken"]
    assert handing.notes_of(report) == ["Transmis à lampes sous le numéro 1."]


def test_it_is_queued_once_and_sent_once(handing: Handing, foreign: Foreign) -> None:
    report = handing.report()
    assert len(handing.queue(report)) == 1
    assert handing.queue(report) == []
    handing.step()
    assert handing.queue(report) == []
    assert handing.step() == {}
    assert len(foreign.posts) == 1
    [event] = stored(handing.session, OutboxEvent, name="forwarding.queued")
    assert event.data == {"forwarding_ids": [str(handing.forwarding_of(report).id)]}


def test_a_team_that_lives_here_is_forwarded_nowhere(handing: Handing) -> None:
    report = handing.report(team=new_team(handing.session, handing.city))
    assert handing.queue(report) == []


def test_no_word_of_the_reporter_but_the_description_leaves_the_house(
    handing: Handing, foreign: Foreign
) -> None:
    report = handing.report()
    new_follower(handing.session, report, is_reporter=True, email="camille@courriel.example")
    handing.queue(report)
    handing.step()
    [post] = foreign.posts
    assert not {"email", "phone", "first_name", "last_name"} & set(post.fields)
    assert "camille" not in str(post).lower()


def test_services_attributes_and_values_are_called_as_they_are_there(
    settled: Settle, foreign: Foreign
) -> None:
    handing = settled(
        jurisdiction_id="metropole.example",
        services={
            "lampe": ServiceMap(
                "L-01",
                attributes={"etat": "STATE", "vu": "SEEN", "couleurs": "COL", "nombre": "N"},
                values={"etat": {"eteint": "OFF"}, "couleurs": {"rouge": "R"}},
                fixed={"ORIGIN": "city"},
            )
        },
    )
    kinds = {"etat": "singlevaluelist", "vu": "datetime", "couleurs": "multivaluelist"}
    kinds |= {"nombre": "number", "secret": "string"}
    handing.service.attributes = [
        {"code": code, "datatype": kind, "required": False, "descriptions": {}, "values": []}
        for code, kind in kinds.items()
    ]
    report = handing.report(
        attributes={
            "etat": "eteint",
            "vu": "2026-03-01T08:00:00.123456+01:00",
            "couleurs": ["rouge", "bleu"],
            "nombre": 3.0,
            "secret": "reste ici",
        }
    )
    handing.queue(report)
    handing.step()
    pairs = foreign.posts[0].pairs
    assert ("jurisdiction_id", "metropole.example") in pairs
    assert [pair for pair in pairs if pair[0].startswith(("service_code", "attribute"))] == [
        ("service_code", "L-01"),
        ("attribute[STATE]", "OFF"),
        ("attribute[SEEN]", "2026-03-01T07:00:00Z"),
        ("attribute[COL][]", "R"),
        ("attribute[COL][]", "bleu"),
        ("attribute[N]", "3"),
        ("attribute[ORIGIN]", "city"),
    ]


def test_a_photo_goes_as_a_public_address_once_it_is_clean(
    handing: Handing, foreign: Foreign
) -> None:
    report = handing.report()
    photo = new_photo(handing.session, report, state=PhotoState.STAGED)
    handing.queue(report)
    assert handing.step() == {}
    photo.state = PhotoState.READY.value
    handing.later(seconds=30)
    handing.step()
    [post] = foreign.posts
    assert post.fields["media_url"] == f"{BASE}/media/{photo.id}/full.jpg"


def test_a_photo_that_is_hidden_or_never_cleaned_stays_here(
    handing: Handing, foreign: Foreign
) -> None:
    hidden, stale = handing.report(), handing.report()
    new_photo(handing.session, hidden, is_public=False)
    new_photo(handing.session, stale, state=PhotoState.STAGED)
    handing.queue(hidden, stale)
    handing.run(minutes=15)
    assert len(foreign.posts) == 2
    assert not any("media_url" in post.fields for post in foreign.posts)


def test_what_is_held_for_review_waits_until_it_is_published(
    handing: Handing, foreign: Foreign
) -> None:
    report = handing.report(visibility="held")
    handing.queue(report)
    handing.run(minutes=20)
    assert foreign.posts == []
    report.visibility = "public"
    handing.later(minutes=5)
    assert handing.step() == {"sent": 1}


def test_a_system_that_is_nobody_elses_business_gets_what_is_held(
    settled: Settle, foreign: Foreign
) -> None:
    handing = settled(held=True)
    report = handing.report(visibility="held")
    new_photo(handing.session, report)
    handing.queue(report)
    assert handing.step() == {"sent": 1}
    # Its photo cannot be fetched before it is public.
    assert "media_url" not in foreign.posts[0].fields


def test_xml_is_spoken_where_the_city_says_so(settled: Settle, foreign: Foreign) -> None:
    handing = settled(format="xml")
    report = handing.report()
    handing.queue(report)
    assert handing.step() == {"sent": 1}
    assert foreign.posts[0].path.endswith("requests.xml")
    assert handing.forwarding_of(report).remote_id == "1"


@pytest.mark.parametrize(
    "oddity",
    [
        {"format": "xml"},
        {"numbers": True},
        {"wrap": lambda content: {"service_requests": content}},
        {"wrap": lambda content: {"data": {"requests": [{"request": one} for one in content]}}},
    ],
)
def test_odd_answers_are_understood_when_sending_and_when_looking(
    handing: Handing, foreign: Foreign, oddity: dict[str, Any]
) -> None:
    for name, value in oddity.items():
        setattr(foreign, name, value)
    plain, lost = handing.report(), handing.report()
    handing.queue(plain)
    handing.step()
    foreign.fail("lost")
    handing.queue(lost)
    handing.run(hours=1)
    assert [handing.forwarding_of(one).remote_id for one in (plain, lost)] == ["1", "2"]
    assert len(foreign.requests) == 2


# -- lost answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost", "late", "lost 500", "html", "empty"])
def test_a_lost_answer_is_looked_up_and_never_sent_twice(
    handing: Handing, foreign: Foreign, fault: str
) -> None:
    foreign.slow_s = 2.0
    foreign.fail(fault)
    report = handing.report()
    handing.queue(report)
    handing.run(hours=2)
    assert len(foreign.posts) == 1
    assert foreign.stored() == [report.description]
    row = handing.forwarding_of(report)
    assert (row.state, row.remote_id) == ("sent", "1")
    assert handing.attempts_of(report) == ["found"]


@pytest.mark.parametrize("fault", ["refused", "500", "502", "503", "408"])
def test_what_was_not_taken_is_sent_again_after_looking(
    handing: Handing, foreign: Foreign, fault: str
) -> None:
    foreign.fail(fault)
    report = handing.report()
    handing.queue(report)
    handing.run(hours=2)
    assert foreign.stored() == [report.description]
    assert handing.attempts_of(report) == ["absent", "taken"]
    looked = [call for call in foreign.gets("requests.json") if "service_code" in call.fields]
    assert looked
    assert looked[0].fields["service_code"] == "lampe"
    # Whole seconds with a zone.
    assert len(looked[0].fields["start_date"]) == len("2026-03-11T10:00:00Z")


def test_an_attempt_is_written_down_before_it_is_made(handing: Handing, foreign: Foreign) -> None:
    report = handing.report()
    handing.queue(report)
    jobs = handing.claim()
    assert handing.attempts_of(report) == [None]
    # The worker is killed here, after the other system took it.
    handing.carry_out(jobs)
    assert handing.claim() == []
    handing.later(minutes=5)
    handing.run(hours=1)
    assert len(foreign.posts) == 1
    assert handing.forwarding_of(report).remote_id == "1"
    assert handing.attempts_of(report) == ["found"]


def test_a_worker_killed_before_the_call_costs_a_look_and_no_report(
    handing: Handing, foreign: Foreign
) -> None:
    report = handing.report()
    handing.queue(report)
    assert handing.claim()
    handing.later(minutes=5)
    handing.run(hours=1)
    assert foreign.stored() == [report.description]
    assert handing.attempts_of(report) == ["absent", "taken"]


def test_a_late_word_of_success_is_believed(handing: Handing, foreign: Foreign) -> None:
    report = handing.report()
    handing.queue(report)
    slow = handing.carry_out(handing.claim())
    handing.later(minutes=5)
    jobs = handing.claim()
    assert jobs[0].lost is not None
    handing.record(slow)
    assert handing.forwarding_of(report).state == "sent"
    handing.record(handing.carry_out(jobs))
    assert handing.forwarding_of(report).remote_id == "1"
    assert handing.notes_of(report) == ["Transmis à lampes sous le numéro 1."]
    assert len(foreign.posts) == 1


def test_two_reports_alike_are_two_requests_though_one_answer_is_lost(
    handing: Handing, foreign: Foreign
) -> None:
    first, second = handing.report(description="Éteint."), handing.report(description="Éteint.")
    handing.queue(first)
    handing.step()
    foreign.fail("refused")
    handing.queue(second)
    handing.run(hours=2)
    assert foreign.stored() == ["Éteint.", "Éteint."]
    assert {handing.forwarding_of(one).remote_id for one in (first, second)} == {"1", "2"}


def test_of_two_alike_that_were_lost_together_each_finds_its_own(
    handing: Handing, foreign: Foreign
) -> None:
    reports = [handing.report(description="Éteint.") for _ in range(3)]
    foreign.fail("lost 500", "lost 500", "lost 500")
    handing.queue(*reports)
    handing.run(hours=3)
    assert len(foreign.posts) == 3
    found = {handing.forwarding_of(report).remote_id for report in reports}
    assert found == {"1", "2", "3"}


def test_it_is_not_sent_again_before_a_slow_system_would_show_it(
    settled: Settle, foreign: Foreign
) -> None:
    handing = settled(settle_minutes=30)
    foreign.hides = True
    foreign.fail("lost")
    report = handing.report()
    handing.queue(report)
    handing.run(minutes=20)
    foreign.hides = False
    handing.run(hours=1)
    assert foreign.stored() == [report.description]
    assert handing.forwarding_of(report).remote_id == "1"


@pytest.mark.parametrize("kind", ["batch", "blackbox"])
def test_where_the_list_cannot_tell_a_person_is_asked(
    settled: Settle, foreign: Foreign, kind: str
) -> None:
    handing = settled(token_hours=6)
    foreign.kind = kind
    foreign.fail("lost")
    report = handing.report()
    handing.queue(report)
    handing.run(days=2)
    assert len(foreign.posts) == 1
    assert handing.forwarding_of(report).state == "stuck"
    assert handing.attempts_of(report) == [None]
    [note] = handing.notes_of(report)
    assert "sa liste ne dit pas s’il a reçu ce signalement" in note


def test_a_system_without_a_list_is_asked_about_by_a_person(
    settled: Settle, foreign: Foreign
) -> None:
    handing = settled(list=ListStyle.NONE)
    foreign.fail("lost")
    report = handing.report()
    handing.queue(report)
    handing.run(hours=2)
    assert (len(foreign.posts), handing.forwarding_of(report).state) == (1, "stuck")

    # Somebody asked there: they do not have it.
    foreign.requests.clear()
    queueing.retry(handing.session, [report.id], now=handing.now, is_surely_absent=True)
    handing.run(hours=2)
    assert foreign.stored() == [report.description]
    assert handing.attempts_of(report) == ["absent", "taken"]


def test_one_name_goes_with_every_sending_of_a_report(handing: Handing, foreign: Foreign) -> None:
    foreign.fail("refused")
    report = handing.report()
    handing.queue(report)
    handing.run(hours=1)
    first, second = foreign.posts
    name = first.headers["idempotency-key"]
    assert name == second.headers["idempotency-key"] == str(handing.forwarding_of(report).id)


# -- refusals and patience ------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["400", "403", "404", "422"])
def test_a_refusal_is_a_persons_job_with_their_words(
    handing: Handing, foreign: Foreign, status: str
) -> None:
    foreign.fail(status)
    report = handing.report()
    version = report.version
    handing.queue(report)
    assert handing.step() == {"stuck": 1}
    handing.run(days=1)
    assert len(foreign.posts) == 1
    assert handing.attempts_of(report) == ["refused"]
    [note] = handing.notes_of(report)
    assert f"{status}: No, because {status}." in note
    handing.session.refresh(report)
    assert report.version > version
    # The endpoint is well; it only did not want this one.
    assert handing.endpoint_row.failures == 0

    queueing.retry(handing.session, None, now=handing.now)
    assert handing.step() == {"sent": 1}


def test_errors_told_with_success_are_errors(handing: Handing, foreign: Foreign) -> None:
    foreign.wrap = lambda _: [{"code": 400, "description": "lat was not provided"}]
    report = handing.report()
    handing.queue(report)
    assert handing.step() == {"stuck": 1}
    assert "lat was not provided" in handing.notes_of(report)[0]


def test_a_redirect_is_not_followed(handing: Handing, foreign: Foreign) -> None:
    foreign.fail("302")
    report = handing.report()
    handing.queue(report)
    assert handing.step() == {"stuck": 1}
    assert len(foreign.calls) == 1


def test_a_service_that_they_do_not_have_is_a_persons_job_until_it_is_changed(
    settled: Settle, foreign: Foreign
) -> None:
    handing = settled(services={"lampe": ServiceMap("L")})
    report = handing.report()
    other = new_service(handing.session, handing.city, code="banc")
    report.service_id = other.id
    handing.queue(report)
    assert handing.step() == {}
    assert handing.forwarding_of(report).state == "stuck"
    assert foreign.calls == []
    # Somebody takes it in hand: no reason to try again.
    assert handing.queue(report, is_routed=False) == []
    # It was of that service after all, and is routed again.
    report.service_id = handing.service.id
    assert len(handing.queue(report)) == 1
    assert handing.step() == {"sent": 1}


def test_a_default_service_takes_the_rest_without_attributes(
    settled: Settle, foreign: Foreign
) -> None:
    handing = settled(default_service="OTHER")
    handing.queue(handing.report(attributes={"etat": "eteint"}))
    handing.step()
    assert foreign.posts[0].fields["service_code"] == "OTHER"


def test_a_report_without_a_place_waits_for_one(handing: Handing, foreign: Foreign) -> None:
    report = handing.report(at=None)
    handing.queue(report)
    handing.step()
    assert (handing.forwarding_of(report).state, foreign.calls) == ("stuck", [])
    lost = handing.report(at=None, address_given="rue de la Loge")
    handing.queue(lost)
    handing.step()
    assert foreign.posts[0].fields["address_string"] == "rue de la Loge"
    assert "lat" not in foreign.posts[0].fields


def test_429_waits_as_long_as_asked_and_looks_for_nothing(
    handing: Handing, foreign: Foreign
) -> None:
    foreign.fail("429")
    report = handing.report()
    handing.queue(report)
    handing.step()
    assert handing.attempts_of(report) == ["not_taken"]
    assert handing.forwarding_of(report).next_attempt_at >= handing.now + timedelta(seconds=90)
    handing.later(seconds=80)
    assert handing.step() == {}
    handing.later(seconds=20)
    assert handing.step() == {"sent": 1}
    assert foreign.gets("requests") == []


def test_the_key_is_never_guessed_and_its_absence_loses_nothing(
    handing: Handing, foreign: Foreign
) -> None:
    handing.keys = {}
    report = handing.report()
    handing.queue(report)
    handing.step()
    assert foreign.calls == []
    assert handing.attempts_of(report) == ["not_taken"]
    handing.keys = {"lampes": "found again"}
    handing.run(hours=1)
    assert foreign.posts[0].fields["api_key"] == "found again"


def test_an_address_inside_the_house_is_not_called(
    handing: Handing, foreign: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.open311.handing.ALLOW", NOTHING_ALLOWED)
    report = handing.report()
    handing.queue(report)
    handing.step()
    assert foreign.calls == []
    assert handing.forwarding_of(report).last_fault == "not called: private_address"
    assert handing.attempts_of(report) == ["not_taken"]


def test_delays_grow_and_end_with_a_person(handing: Handing, foreign: Foreign) -> None:
    foreign.fail(*["500"] * (MAX_FAILURES + 5))
    foreign.reading_faults.extend(["500"] * 500)
    report = handing.report()
    handing.queue(report)
    waits = []
    while handing.forwarding_of(report).state == "waiting":
        due = handing.forwarding_of(report).next_attempt_at
        waits.append((due - handing.now).total_seconds())
        handing.now = max(due, handing.endpoint_row.open_until or due)
        handing.step()
    assert len(foreign.posts) == 1
    assert max(waits) == 6 * 3600
    assert timedelta(days=1) < timedelta(seconds=sum(waits)) < timedelta(days=5)
    assert handing.forwarding_of(report).state == "stuck"
    assert handing.attempts_of(report) == [None]


def test_an_endpoint_that_keeps_failing_is_left_alone_and_tried_by_one(
    handing: Handing, foreign: Foreign
) -> None:
    reports = [handing.report() for _ in range(20)]
    handing.queue(*reports)
    foreign.fail(*["500"] * CIRCUIT_OPENS_AFTER)
    # The batch that was under way ends first.
    for job in handing.claim(limit=CIRCUIT_OPENS_AFTER):
        handing.record(handing.carry_out([job]))
    open_until = handing.endpoint_row.open_until
    assert open_until is not None
    assert handing.claim() == []
    calls = len(foreign.calls)
    handing.now = open_until
    assert len(handing.claim()) == 1
    handing.later(minutes=4)
    counts = handing.run(hours=3)
    assert counts["sent"] == 20
    assert len(foreign.calls) > calls
    assert sorted(foreign.stored()) == sorted(report.description for report in reports)
    assert handing.endpoint_row.failing_since is None


def test_of_a_silent_endpoint_the_rest_of_the_batch_is_given_back_untried(
    handing: Handing, foreign: Foreign
) -> None:
    reports = [handing.report() for _ in range(4)]
    handing.queue(*reports)
    foreign.fail("refused")
    assert handing.step() == {"lost": 1, "untried": 3}
    assert len(foreign.calls) == 1
    assert sorted(str(handing.attempts_of(report)) for report in reports) == [
        "[None]",
        "[]",
        "[]",
        "[]",
    ]
    handing.run(hours=1)
    assert sorted(foreign.stored()) == sorted(report.description for report in reports)


# -- tokens ---------------------------------------------------------------------------------------


def test_a_token_is_asked_about_until_it_is_an_id(handing: Handing, foreign: Foreign) -> None:
    foreign.kind = "batch"
    report = handing.report()
    handing.queue(report)
    assert handing.step() == {"token": 1}
    counts = handing.run(hours=3)
    assert counts["pending"] >= 3
    assert handing.notes_of(report) == []
    foreign.answer_tokens()
    handing.run(hours=2)
    row = handing.forwarding_of(report)
    assert (row.state, row.remote_id, row.token) == ("sent", "1", None)
    assert len(foreign.posts) == 1
    assert len(foreign.gets("/tokens/")) < 30


def test_a_token_that_never_becomes_an_id_is_a_persons_job(
    settled: Settle, foreign: Foreign
) -> None:
    handing = settled(token_hours=5)
    foreign.kind = "batch"
    report = handing.report()
    handing.queue(report)
    handing.run(days=2)
    assert handing.forwarding_of(report).state == "stuck"
    assert "(jeton t1)" in handing.notes_of(report)[0]
    assert len(foreign.posts) == 1
    foreign.answer_tokens()
    queueing.retry(handing.session, [report.id], now=handing.now)
    handing.run(hours=1)
    assert handing.forwarding_of(report).remote_id == "1"


def test_a_token_of_which_they_know_nothing_yet_is_waited_for(
    handing: Handing, foreign: Foreign
) -> None:
    foreign.kind = "batch"
    report = handing.report()
    handing.queue(report)
    handing.step()
    known = dict(foreign.tokens)
    foreign.tokens.clear()
    handing.run(hours=1)
    assert handing.forwarding_of(report).state == "waiting"
    foreign.tokens.update(known)
    foreign.answer_tokens()
    handing.run(hours=2)
    assert handing.forwarding_of(report).state == "sent"


def test_a_blackbox_takes_it_and_is_not_followed(handing: Handing, foreign: Foreign) -> None:
    foreign.kind = "blackbox"
    report = handing.report()
    handing.queue(report)
    assert handing.step() == {"sent": 1}
    assert handing.forwarding_of(report).remote_id is None
    assert "ne donne pas de numéro" in handing.notes_of(report)[0]


# -- changes on the way ---------------------------------------------------------------------------


def test_what_is_over_before_it_is_sent_is_not_sent(handing: Handing, foreign: Foreign) -> None:
    report = handing.report()
    handing.queue(report)
    report.status, report.closed_at = Status.REJECTED.value, handing.now
    assert handing.step() == {}
    assert foreign.calls == []
    assert handing.forwarding_of(report).state == "cancelled"


def test_a_report_that_goes_to_another_team_is_not_sent_or_somebody_is_told(
    handing: Handing, foreign: Foreign
) -> None:
    waiting, sent = handing.report(), handing.report()
    handing.queue(sent)
    handing.step()
    handing.queue(waiting)
    other = new_team(handing.session, handing.city)
    for report in (waiting, sent):
        report.team_id = other.id
    handing.session.flush()
    assert handing.queue(waiting, sent) == []
    handing.run(hours=1)
    assert len(foreign.posts) == 1
    assert "Déjà transmis à lampes sous le numéro 1" in handing.notes_of(sent)[1]
    assert handing.notes_of(waiting) == []

    # And comes back: the one is followed again, the other sent.
    for report in (waiting, sent):
        report.team_id = handing.team.id
    handing.session.flush()
    handing.queue(waiting, sent)
    handing.run(hours=1)
    assert len(foreign.posts) == 2
    assert {handing.forwarding_of(one).state for one in (waiting, sent)} == {"sent"}


def test_an_endpoint_that_left_the_folder_gets_nothing_more(
    handing: Handing, foreign: Foreign
) -> None:
    report = handing.report()
    handing.queue(report)
    handing.step()
    changes = load_endpoints(handing.session, handing.city.id, [], {})
    assert changes.retired == 1
    later = handing.report()
    assert handing.queue(later) == []
    assert handing.endpoint_row.is_active is False
    again = [EndpointSpec(code="lampes", url=foreign.url, key="lampes")]
    load_endpoints(handing.session, handing.city.id, again, {"eclairage": "lampes"})
    assert len(handing.queue(later)) == 1
