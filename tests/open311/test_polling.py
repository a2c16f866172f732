"""What comes back: by asking and by the webhook, once, and only what is newer than our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from open311 import polling
from open311.downstream import webhook_secret
from open311.rules import ListStyle
from reports import changing, lifecycle
from reports.changing import Words
from reports.history import Author
from reports.models import HistoryEntry, ServiceRequest
from reports.vocabulary import ActorKind, NoteKind, Status
from tests.conftest import SECRET_KEY
from tests.factories import new_follower, new_team, stored
from tests.open311.foreign import Foreign, running
from tests.open311.handing import Handing, settle

AGENT = Author(ActorKind.STAFF)

Settle = Callable[..., Handing]


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    with running() as system:
        yield system


@pytest.fixture
def settled(session: Session, foreign: Foreign) -> Settle:
    """A function that makes the client with an endpoint of its own."""
    return lambda **spec: settle(session, foreign, **spec)


@pytest.fixture
def handing(settled: Settle) -> Handing:
    return settled(updates=True)


def sent(handing: Handing, **values: Any) -> ServiceRequest:
    """A report that was handed over a while ago."""
    report = handing.report(requested_at=handing.now - timedelta(hours=2), **values)
    handing.queue(report)
    handing.step()
    handing.later(minutes=10)
    return report


def status_of(handing: Handing, report: ServiceRequest) -> Status:
    handing.session.refresh(report)
    return Status(report.status)


def moved(handing: Handing, report: ServiceRequest, to: Status) -> None:
    """Somebody of the staff moves it here, now."""
    locked = changing.lock_all(handing.session, {report.id})[report.id]
    words = Words(public_note="C’est vu.")
    lifecycle.move(handing.session, locked, to, by=AGENT, now=handing.now, words=words)


def step(
    number: str, request_id: str, status: str, at: datetime, said: str | None = None
) -> dict[str, Any]:
    return {
        "update_id": number,
        "service_request_id": request_id,
        "status": status,
        "updated_datetime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "description": said,
    }


# -- by asking ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "format_", "numbers"),
    [
        (ListStyle.IDS, "json", False),
        (ListStyle.IDS, "xml", False),
        (ListStyle.IDS, "json", True),
        (ListStyle.SINGLE, "json", True),
        (ListStyle.UPDATED, "json", False),
    ],
)
def test_a_status_comes_back_however_it_is_asked(
    settled: Settle, foreign: Foreign, style: ListStyle, format_: str, numbers: bool
) -> None:
    handing = settled(list=style, format=format_)
    foreign.numbers = numbers
    first, second = sent(handing), sent(handing)
    handing.poll()
    foreign.say("1", "closed", handing.now)
    foreign.requests["1"]["status_notes"] = "L’ampoule est changée."
    handing.later(minutes=10)
    assert handing.poll()["news"] == 1
    assert status_of(handing, first) is Status.RESOLVED
    assert status_of(handing, second) is Status.TRIAGED
    assert handing.notes_of(first, NoteKind.PUBLIC) == ["L’ampoule est changée."]
    entry = stored(handing.session, HistoryEntry, report_id=first.id, to_status="resolved")[0]
    assert (entry.actor_kind, entry.data["downstream_id"]) == ("machine", handing.endpoint.id)

    handing.later(minutes=10)
    assert handing.poll()["news"] == 0


def test_many_are_asked_in_batches_of_ids(settled: Settle, foreign: Foreign) -> None:
    handing = settled(batch_size=3)
    reports = [handing.report() for _ in range(7)]
    handing.queue(*reports)
    handing.run(hours=1)
    foreign.calls.clear()
    handing.poll()
    asked = [call.fields["service_request_id"] for call in foreign.calls]
    assert sorted(len(ids.split(",")) for ids in asked) == [1, 3, 3]


def test_what_says_the_same_as_before_costs_nothing_by_itself(
    handing: Handing, foreign: Foreign
) -> None:
    reports = [handing.report() for _ in range(8)]
    handing.queue(*reports)
    handing.run(minutes=10)
    handing.poll()
    handing.later(minutes=10)
    assert not {"same", "news"} & set(handing.poll())
    assert all(handing.forwarding_of(one).checked_at == handing.now for one in reports)
    foreign.say("3", "closed", handing.now)
    handing.later(minutes=10)
    assert handing.poll() == {"news": 1}


def test_an_endpoint_is_asked_when_it_is_due_and_by_one(settled: Settle, foreign: Foreign) -> None:
    handing = settled(poll_minutes=5)
    sent(handing)
    [one] = polling.claim(handing.session, now=handing.now)
    assert polling.claim(handing.session, now=handing.now) == []
    polling.finish(handing.session, one, is_whole=True, now=handing.now)
    assert polling.claim(handing.session, now=handing.now + timedelta(minutes=4)) == []
    assert len(polling.claim(handing.session, now=handing.now + timedelta(minutes=5))) == 1


def test_an_older_status_does_not_undo_what_was_done_here(
    handing: Handing, foreign: Foreign
) -> None:
    report = sent(handing)
    foreign.say("1", "in_progress", handing.now)
    handing.later(minutes=1)
    moved(handing, report, Status.RESOLVED)
    handing.later(minutes=10)
    counts = handing.poll()
    assert (counts["older"], counts["news"]) == (1, 0)
    assert status_of(handing, report) is Status.RESOLVED


def test_reopened_here_and_closed_there_is_told_to_staff_once(
    handing: Handing, foreign: Foreign
) -> None:
    report = sent(handing)
    foreign.say("1", "closed", handing.now)
    handing.later(minutes=10)
    handing.poll()
    moved(handing, report, Status.REOPENED)
    for _ in range(3):
        handing.later(minutes=10)
        handing.poll()
    assert status_of(handing, report) is Status.REOPENED
    assert [note for note in handing.notes_of(report) if "ouvert ici" in note] == [
        "Terminé chez lampes (closed), ouvert ici : à voir avec eux, rien ne le leur dit."
    ]
    # They work on it, and close it anew.
    foreign.say("1", "closed", handing.now)
    handing.later(minutes=10)
    handing.poll()
    assert status_of(handing, report) is Status.RESOLVED


def test_their_own_next_step_is_never_held_against_our_note_of_the_last(
    handing: Handing, foreign: Foreign
) -> None:
    """We write `in_progress` down later than they said it; `closed` may lie in between."""
    report = sent(handing)
    foreign.say("1", "in_progress", handing.now - timedelta(minutes=5))
    handing.poll()
    foreign.say("1", "closed", handing.now - timedelta(minutes=1))
    handing.later(minutes=10)
    handing.poll()
    assert status_of(handing, report) is Status.RESOLVED


@pytest.mark.parametrize(
    ("word", "because"), [(None, "missing"), ("", "missing"), ("banana", "unknown")]
)
def test_a_missing_or_unknown_status_changes_nothing_and_is_logged(
    handing: Handing, foreign: Foreign, word: str | None, because: str
) -> None:
    report = sent(handing)
    version = report.version
    foreign.say("1", word, handing.now)
    handing.later(minutes=10)
    with structlog.testing.capture_logs() as lines:
        handing.poll()
    assert status_of(handing, report) is Status.TRIAGED
    assert report.version == version
    [line] = [line for line in lines if line["event"] == "downstream.status_ignored"]
    assert line["because"] == because
    # Not again at every look.
    for _ in range(3):
        handing.later(minutes=10)
        with structlog.testing.capture_logs() as lines:
            handing.poll()
        assert [line for line in lines if line["event"] == "downstream.status_ignored"] == []


def test_without_times_a_changed_word_counts_from_our_last_look(
    handing: Handing, foreign: Foreign
) -> None:
    foreign.shows_times = False
    report = sent(handing)
    handing.poll()
    handing.later(minutes=10)
    foreign.say("1", "closed")
    assert handing.poll()["news"] == 1
    moved(handing, report, Status.REOPENED)
    handing.later(minutes=10)
    handing.poll()
    assert status_of(handing, report) is Status.REOPENED


@pytest.mark.parametrize("style", [ListStyle.IDS, ListStyle.SINGLE])
def test_a_request_that_they_do_not_show_stays_as_it_is_and_is_logged_once(
    settled: Settle, foreign: Foreign, style: ListStyle
) -> None:
    handing = settled(list=style)
    report = sent(handing)

    def logged() -> int:
        with structlog.testing.capture_logs() as lines:
            assert handing.poll()["missing"] == int(foreign.hides)
        handing.later(minutes=10)
        return len([line for line in lines if line["event"] == "downstream.status_ignored"])

    foreign.hides = True
    begun = handing.now
    assert [logged() for _ in range(4)] == [1, 0, 0, 0]
    assert handing.forwarding_of(report).missing_since == begun
    assert status_of(handing, report) is Status.TRIAGED
    # It comes back, and is gone once more: that is news.
    foreign.hides = False
    assert logged() == 0
    assert handing.forwarding_of(report).missing_since is None
    foreign.hides = True
    assert [logged() for _ in range(2)] == [1, 0]
    foreign.hides = False
    foreign.say("1", "closed", handing.now)
    handing.later(minutes=10)
    handing.poll()
    assert status_of(handing, report) is Status.RESOLVED


@pytest.mark.parametrize("ahead", [timedelta(minutes=3), timedelta(days=365 * 70)])
def test_a_clock_that_is_ahead_does_not_block_what_comes_later(
    settled: Settle, foreign: Foreign, ahead: timedelta
) -> None:
    handing = settled()
    report = sent(handing)
    foreign.say("1", "in_progress", handing.now + ahead)
    handing.poll()
    # The word has changed since our last look, so it counts from there.
    assert status_of(handing, report) is Status.IN_PROGRESS
    assert handing.forwarding_of(report).remote_at is None
    handing.later(minutes=10)
    foreign.say("1", "closed", handing.now - timedelta(minutes=1))
    handing.poll()
    assert status_of(handing, report) is Status.RESOLVED


def test_a_clock_that_is_ahead_does_not_undo_what_is_done_here_again_and_again(
    settled: Settle, foreign: Foreign
) -> None:
    handing = settled()
    report = sent(handing)
    foreign.say("1", "closed", handing.now + timedelta(days=3650))
    handing.poll()
    assert status_of(handing, report) is Status.RESOLVED
    handing.later(minutes=10)
    moved(handing, report, Status.REOPENED)
    for _ in range(3):
        handing.later(minutes=10)
        handing.poll()
    assert status_of(handing, report) is Status.REOPENED


def test_a_time_far_ahead_that_was_believed_before_blocks_nothing_any_more(
    settled: Settle, foreign: Foreign
) -> None:
    handing = settled()
    report = sent(handing)
    row = handing.forwarding_of(report)
    row.remote_status, row.remote_at = "open", handing.now + timedelta(days=3650)
    handing.session.flush()
    foreign.say("1", "closed", handing.now - timedelta(minutes=1))
    handing.poll()
    assert status_of(handing, report) is Status.RESOLVED
    assert handing.forwarding_of(report).remote_at < handing.now  # type: ignore[operator]


def test_a_clock_that_is_a_little_ahead_is_believed(settled: Settle, foreign: Foreign) -> None:
    handing = settled()
    report = sent(handing)
    foreign.say("1", "closed", handing.now + timedelta(minutes=1))
    handing.poll()
    assert handing.forwarding_of(report).remote_at is not None
    assert status_of(handing, report) is Status.RESOLVED


def test_words_that_bring_back_the_reporters_contact_do_not_reach_the_public(
    handing: Handing, foreign: Foreign
) -> None:
    report = sent(handing)
    new_follower(
        handing.session, report, is_reporter=True, email="ana@exemple.org", name="Ana Roux"
    )
    foreign.updates.append(
        {
            "update_id": "7",
            "service_request_id": "1",
            "status": "in_progress",
            "description": "Vu avec Ana Roux (ana@exemple.org).",
            "updated_datetime": handing.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
    handing.later(minutes=10)
    handing.poll()
    [said] = handing.notes_of(report, NoteKind.PUBLIC)
    assert said == "Vu avec […] ([…])."


def test_a_rejection_always_says_why(handing: Handing, foreign: Foreign) -> None:
    report = sent(handing)
    foreign.say("1", "no_further_action", handing.now)
    handing.later(minutes=10)
    handing.poll()
    assert status_of(handing, report) is Status.REJECTED
    assert handing.notes_of(report, NoteKind.PUBLIC) == [
        "Le service compétent n’y donne pas suite."
    ]


def test_what_went_to_another_team_is_not_theirs_to_move(
    handing: Handing, foreign: Foreign
) -> None:
    report = sent(handing)
    report.team_id = new_team(handing.session, handing.city).id
    handing.session.flush()
    foreign.say("1", "closed", handing.now)
    handing.later(minutes=10)
    handing.poll()
    assert status_of(handing, report) is Status.TRIAGED


def test_one_request_of_theirs_may_be_two_reports_of_ours(
    handing: Handing, foreign: Foreign
) -> None:
    first, second = sent(handing), sent(handing)
    handing.forwarding_of(second).remote_id = "1"
    foreign.updates.append(step("u1", "1", "fixed", handing.now, "Fait."))
    handing.later(minutes=10)
    handing.poll()
    assert {status_of(handing, one) for one in (first, second)} == {Status.RESOLVED}
    assert [handing.notes_of(one, NoteKind.PUBLIC) for one in (first, second)] == [["Fait."]] * 2


@pytest.mark.parametrize("fault", ["500", "404", "html", "refused", "400"])
def test_a_failed_look_changes_nothing_and_is_made_up_for(
    handing: Handing, foreign: Foreign, fault: str
) -> None:
    report = sent(handing)
    foreign.updates.append(step("u1", "1", "in_progress", handing.now, "Une équipe est en route."))
    foreign.reading_faults.extend([fault] * 4)
    handing.later(minutes=10)
    handing.poll()
    assert status_of(handing, report) is Status.TRIAGED
    foreign.reading_faults.clear()
    handing.later(hours=3)
    handing.poll()
    assert status_of(handing, report) is Status.IN_PROGRESS
    assert handing.notes_of(report, NoteKind.PUBLIC) == ["Une équipe est en route."]


# -- steps ----------------------------------------------------------------------------------------


def test_steps_are_taken_once_though_their_windows_overlap(
    handing: Handing, foreign: Foreign
) -> None:
    report = sent(handing)
    foreign.updates += [
        step("u1", "1", "in_progress", handing.now, "Une équipe est en route."),
        step("u2", "1", "in_progress", handing.now + timedelta(minutes=2), "Pièce commandée."),
        step("u3", "99", "closed", handing.now, "Ce n’est pas à nous."),
    ]
    for _ in range(4):
        handing.later(minutes=6)
        handing.poll()
    assert handing.notes_of(report, NoteKind.PUBLIC) == [
        "Une équipe est en route.",
        "Pièce commandée.",
    ]
    starts = [call.fields["start_date"] for call in foreign.gets("servicerequestupdates")]
    ends = [call.fields["end_date"] for call in foreign.gets("servicerequestupdates")]
    assert starts == sorted(starts)
    assert all(start < end for start, end in zip(starts[1:], ends, strict=False))


def test_a_step_that_was_stored_late_is_not_missed(handing: Handing, foreign: Foreign) -> None:
    report = sent(handing)
    handing.poll()
    early = handing.now - timedelta(minutes=5)
    handing.later(minutes=6)
    foreign.updates.append(step("u1", "1", "in_progress", early, "Tard venu."))
    handing.poll()
    assert handing.notes_of(report, NoteKind.PUBLIC) == ["Tard venu."]


def test_after_a_long_absence_the_windows_follow_one_another(
    handing: Handing, foreign: Foreign
) -> None:
    sent(handing)
    handing.poll()
    handing.later(days=3)
    handing.poll()
    for _ in range(5):
        handing.poll()
    spans = [
        (call.fields["start_date"][:10], call.fields["end_date"][:10])
        for call in foreign.gets("servicerequestupdates")
    ]
    assert len(spans) >= 4
    until = handing.endpoint_row.updates_until
    assert until is not None
    assert until == handing.now


def test_steps_on_further_pages_are_read(handing: Handing, foreign: Foreign) -> None:
    report = sent(handing)
    foreign.page_size = 2
    foreign.updates += [
        step(f"u{number}", "1", "open", handing.now, f"Mot {number}.") for number in range(5)
    ]
    handing.later(minutes=6)
    handing.poll()
    assert len(handing.notes_of(report, NoteKind.PUBLIC)) == 5


def test_steps_without_ids_are_told_apart_by_what_they_say(
    handing: Handing, foreign: Foreign
) -> None:
    report = sent(handing)
    bare = step("", "1", "in_progress", handing.now, "Sans numéro.")
    foreign.updates.append(bare)
    for _ in range(3):
        handing.later(minutes=6)
        handing.poll()
    assert handing.notes_of(report, NoteKind.PUBLIC) == ["Sans numéro."]


def test_words_may_be_for_staff_only(settled: Settle, foreign: Foreign) -> None:
    handing = settled(updates=True, notes="internal")
    report = sent(handing)
    foreign.updates.append(
        step("u1", "1", "in_progress", handing.now, "Code d’accès 1234.")
        | {"media_url": "https://lampes.example/p.jpg"}
    )
    handing.later(minutes=6)
    handing.poll()
    assert handing.notes_of(report, NoteKind.PUBLIC) == []
    assert handing.notes_of(report)[-1] == (
        "Code d’accès 1234.\nPhoto de lampes : https://lampes.example/p.jpg"
    )


def test_what_they_take_for_a_duplicate_is_told_to_staff(
    handing: Handing, foreign: Foreign
) -> None:
    report = sent(handing)
    foreign.say("1", "duplicate", handing.now)
    for _ in range(3):
        handing.later(minutes=6)
        handing.poll()
    assert status_of(handing, report) is Status.TRIAGED
    assert len([note for note in handing.notes_of(report) if "doublon" in note]) == 1


# -- the webhook ----------------------------------------------------------------------------------


@pytest.fixture
def hook(handing: Handing, client: FlaskClient) -> Callable[..., Any]:
    """Calls the webhook as the other system would."""
    secret = webhook_secret(SECRET_KEY, handing.endpoint)

    def call(name: str = "ville.lampes", key: str | None = secret, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        return client.post(f"/open311/downstream/{name}/updates", headers=headers, **options)

    return call


def test_a_step_comes_by_webhook_as_a_form_once(handing: Handing, hook: Callable[..., Any]) -> None:
    report = sent(handing)
    form = step("u1", "1", "closed", handing.now + timedelta(minutes=1), "Réparé.")
    for _ in range(2):
        answer = hook(data=form)
        assert (answer.status_code, answer.json) == (200, [{"update_id": "u1"}])
    assert status_of(handing, report) is Status.RESOLVED
    assert handing.notes_of(report, NoteKind.PUBLIC) == ["Réparé."]


def test_steps_come_as_json_wrapped_or_not_and_are_not_read_again_by_asking(
    handing: Handing, hook: Callable[..., Any], foreign: Foreign
) -> None:
    report = sent(handing)
    steps = [step("u1", "1", "in_progress", handing.now + timedelta(minutes=1), "En route.")]
    assert hook(json=steps).status_code == 200
    assert hook(json={"service_request_updates": steps}).status_code == 200
    foreign.updates += steps
    handing.later(minutes=10)
    handing.poll()
    assert handing.notes_of(report, NoteKind.PUBLIC) == ["En route."]


def test_the_secret_may_come_in_the_form_and_only_the_right_one_is_heard(
    handing: Handing, hook: Callable[..., Any]
) -> None:
    report = sent(handing)
    form = step("u1", "1", "closed", handing.now + timedelta(minutes=1))
    for key in (None, "", "wrong"):
        answer = hook(key=key, data=form)
        assert answer.status_code == 403
        assert [fault["code"] for fault in answer.json] == [403]
    assert hook(name="ville.autre", data=form).status_code == 403
    assert status_of(handing, report) is Status.TRIAGED
    secret = webhook_secret(SECRET_KEY, handing.endpoint)
    assert hook(key=None, data={**form, "api_key": secret}).status_code == 200


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": {"service_request_id": "99", "status": "closed"}}, 404),
        ({"data": {"status": "closed"}}, 400),
        ({"data": {"service_request_id": "1"}}, 400),
        ({"data": b"<html>", "content_type": "text/html"}, 400),
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"data": b"\xff\xfe\x00", "content_type": "application/json"}, 400),
        ({"json": [{"service_request_id": "1", "status": "x"}] * 500}, 400),
        ({}, 400),
    ],
)
def test_the_webhook_refuses_in_the_words_of_the_standard(
    handing: Handing, hook: Callable[..., Any], options: dict[str, Any], status: int
) -> None:
    sent(handing)
    answer = hook(**options)
    assert answer.status_code == status
    assert all({"code", "description"} == set(fault) for fault in answer.json)


def test_characters_that_break_lists_do_not_come_in(
    handing: Handing, hook: Callable[..., Any]
) -> None:
    report = sent(handing)
    form = step("u\x001", "1", "closed\x00", handing.now + timedelta(minutes=1), "A\x00B\x0bC")
    assert hook(data=form).status_code == 200
    assert status_of(handing, report) is Status.RESOLVED
    assert handing.notes_of(report, NoteKind.PUBLIC) == ["ABC"]
