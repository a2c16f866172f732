"""What messages say: present facts, the reader's language, links that open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from accounts.models import Invitation, SignInChallenge
from core.ids import new_id
from core.tokens import Purpose, code_for, matches
from notifications.announcing import announce
from notifications.models import PushSubscription, WebhookEndpoint
from reports.history import SYSTEM, Author, Entry, append
from reports.models import Note, ServiceRequest
from reports.vocabulary import ActorKind, HistoryKind, NoteKind, Status
from tests.factories import (
    WEDNESDAY,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_person,
    new_report,
    new_service,
    new_team,
)
from tests.notifications.conftest import LINKS, letters, new_event, send_due

Tell = Callable[..., list[str]]


@pytest.fixture
def tell(session: Session, folder: Any, outbox: Path) -> Tell:
    """Announce an event and send; the messages that went out."""

    def run(name: str, report: ServiceRequest, **data: Any) -> list[str]:
        before = len(letters(outbox))
        event = new_event(name, report.id, report.jurisdiction_id, at=WEDNESDAY, **data)
        announce(session, [event], now=WEDNESDAY)
        send_due(session, folder, now=WEDNESDAY)
        return letters(outbox)[before:]

    return run


def resolved(session: Session, report: ServiceRequest, words: str) -> dict[str, Any]:
    """What the event of a fix carries, with public and internal words."""
    staff = Author(ActorKind.STAFF, new_id())
    (entry,) = append(
        session,
        [Entry(report.id, HistoryKind.STATUS, staff, to_status=Status.RESOLVED)],
        now=WEDNESDAY,
    )
    for kind, body in ((NoteKind.INTERNAL, "Facture à Durand."), (NoteKind.PUBLIC, words)):
        session.add(
            Note(
                report_id=report.id,
                history_id=entry,
                kind=kind.value,
                author_kind="staff",
                body=body,
                created_at=WEDNESDAY,
            )
        )
    report.status = Status.RESOLVED.value
    report.resolved_at = WEDNESDAY
    session.flush()
    return {"history_id": entry, "from": "assigned", "to": "resolved"}


def link_in(letter: str, page: str) -> tuple[UUID, str]:
    found = re.search(rf"https://riverain\.example/{page}/([0-9a-f-]{{36}})/([\w-]+)\?", letter)
    assert found is not None, letter
    return UUID(found.group(1)), found.group(2)


def test_the_first_message_carries_the_tracking_link(session: Session, tell: Tell) -> None:
    report = new_report(session, requested_at=WEDNESDAY)
    reporter = new_follower(session, report, is_reporter=True)
    (letter,) = tell("report.submitted", report)
    report_id, token = link_in(letter, "r")
    assert report_id == report.id
    assert matches(LINKS.secret, Purpose.TRACK, report.id, 1, token)
    follower_id, token = link_in(letter, "leave")
    assert follower_id == reporter.id
    assert matches(LINKS.secret, Purpose.LEAVE, reporter.id, 1, token)
    assert f"n° {report.number}" in letter
    assert "Lieu : 1 place de la Comédie" in letter
    assert "Signalé le : 11 mars 2026" in letter


def test_each_reads_their_own_language(session: Session, tell: Tell) -> None:
    report = new_report(session, status=Status.ASSIGNED)
    for locale in ("fr", "en", "en-US", "oc"):
        new_follower(session, report, locale=locale)
    messages = tell("report.status_changed", report, **resolved(session, report, "Fait."))
    # Occitan is not written here: the first language is.
    assert sorted(re.findall(r"Locale: (\w+)", "\n".join(messages))) == ["en", "en", "fr", "fr"]
    assert sum("it is fixed" in message for message in messages) == 2
    assert sum("c’est réglé" in message for message in messages) == 2


def test_public_words_are_quoted_and_internal_ones_never(session: Session, tell: Tell) -> None:
    report = new_report(session, status=Status.ASSIGNED)
    new_follower(session, report, is_reporter=True)
    data = resolved(session, report, "Rebouché ce matin.")
    (letter,) = tell("report.status_changed", report, **data)
    assert "  Rebouché ce matin.\n" in letter
    assert "Facture" not in letter
    assert "avant le 25 mars 2026" in letter


def test_a_follower_of_a_duplicate_reads_of_their_own_number(session: Session, tell: Tell) -> None:
    service = new_service(session)
    parent = new_report(session, service, status=Status.ASSIGNED)
    duplicate = new_report(session, service, parent=parent, address="2 rue Foch")
    new_follower(session, duplicate, is_reporter=True)
    (letter,) = tell("report.status_changed", parent, **resolved(session, parent, "Fait."))
    assert f"Subject: Signalement n° {duplicate.number} : c’est réglé" in letter
    assert f"sous le n° {parent.number}" in letter
    assert "2 rue Foch" in letter
    assert link_in(letter, "r")[0] == duplicate.id


def test_joining_names_the_report_it_was_joined_to(session: Session, tell: Tell) -> None:
    service = new_service(session)
    parent = new_report(session, service)
    duplicate = new_report(session, service, parent=parent)
    new_follower(session, duplicate, is_reporter=True, locale="en")
    (letter,) = tell("report.joined", duplicate, parent_id=str(parent.id))
    assert (
        f"Report no. {duplicate.number}: already known, followed as no. {parent.number}" in letter
    )


def test_joining_says_how_many_people_tell_of_it_not_how_many_reports(
    session: Session, tell: Tell
) -> None:
    service = new_service(session)
    parent = new_report(session, service)
    new_follower(session, parent, is_reporter=True, email="ann@courriel.example")
    ann, ben, left = (new_report(session, service, parent=parent) for _ in range(3))
    new_follower(session, ann, is_reporter=True, locale="en", email="ann@courriel.example")
    left.withdrawn_at = WEDNESDAY
    session.flush()
    (letter,) = tell("report.joined", ann, parent_id=str(parent.id))
    # She told it twice, one took a report back, and one left nothing to be known by.
    assert "2 people tell us of it, you among them" in letter
    ben.withdrawn_at = WEDNESDAY
    session.flush()
    (letter,) = tell("report.joined", ann, parent_id=str(parent.id))
    assert "people" not in letter


def test_a_reopening_that_is_taken_back_is_told_to_those_who_heard_of_it(
    session: Session, tell: Tell
) -> None:
    report = new_report(session, status=Status.CLOSED)
    new_follower(session, report, is_reporter=True, locale="en")

    def moved(before: Status, after: Status, **data: Any) -> int:
        entry = Entry(report.id, HistoryKind.STATUS, SYSTEM, before, after, data)
        return append(session, [entry], now=WEDNESDAY)[0]

    for is_heard in (True, False):
        opened = moved(Status.CLOSED, Status.REOPENED)
        if is_heard:
            (letter,) = tell("report.status_changed", report, to="reopened", history_id=opened)
            assert f"Report no. {report.number}: reopened" in letter
        closed = moved(Status.REOPENED, Status.CLOSED, takes_back=opened)
        told = tell(
            "report.status_changed", report, to="closed", history_id=closed, takes_back=opened
        )
        assert [f"no. {report.number}: not reopened after all" in each for each in told] == (
            [True] if is_heard else []
        )
        # Announced late, it is not told any more.
        if not is_heard:
            assert tell("report.status_changed", report, to="reopened", history_id=opened) == []


def test_news_that_waits_is_not_told_to_what_was_separated_meanwhile(
    session: Session, folder: Any, outbox: Path
) -> None:
    leader = new_report(session, status=Status.RESOLVED)
    child = new_report(session, status=Status.DUPLICATE, parent_id=leader.id)
    new_follower(session, child)
    data = {"from": "assigned", "to": "resolved"}
    news = new_event(
        "report.status_changed", leader.id, leader.jurisdiction_id, at=WEDNESDAY, **data
    )
    assert announce(session, [news], now=WEDNESDAY)
    child.parent_id, child.status = None, Status.TRIAGED.value
    session.flush()
    send_due(session, folder, now=WEDNESDAY)
    assert letters(outbox) == []


@pytest.mark.parametrize(
    ("locale", "words"),
    [("fr", "finalement pas terminé"), ("en", "not over after all")],
)
def test_who_was_told_of_anothers_fix_reads_that_theirs_is_not(
    session: Session, tell: Tell, locale: str, words: str
) -> None:
    leader = new_report(session, status=Status.RESOLVED)
    child = new_report(session, status=Status.DUPLICATE, parent_id=leader.id)
    new_follower(session, child, locale=locale)
    tell("report.status_changed", leader, to="resolved")
    child.parent_id, child.status = None, Status.TRIAGED.value
    session.flush()
    (letter,) = tell("report.unjoined", child, parent_id=str(leader.id))
    assert words in letter
    assert str(child.number) in letter


def test_of_what_is_over_itself_nothing_is_said(session: Session, tell: Tell) -> None:
    leader = new_report(session, status=Status.RESOLVED)
    child = new_report(session, status=Status.DUPLICATE, parent_id=leader.id)
    new_follower(session, child)
    tell("report.status_changed", leader, to="resolved")
    child.parent_id, child.status = None, Status.CLOSED.value
    session.flush()
    assert tell("report.unjoined", child, parent_id=str(leader.id)) == []


def test_a_stranger_who_follows_does_not_learn_the_house_number(
    session: Session, tell: Tell
) -> None:
    service = new_service(session, public_precision="block")
    report = new_report(session, service, status=Status.ASSIGNED)
    new_follower(session, report, email="voisin@courriel.example")
    new_follower(session, report, is_reporter=True, email="auteur@courriel.example")
    messages = tell("report.status_changed", report, **resolved(session, report, "Fait."))
    by_reader = {message.partition("\n")[0]: message for message in messages}
    assert "Lieu : place de la Comédie" in by_reader["To: voisin@courriel.example"]
    assert "Lieu : 1 place de la Comédie" in by_reader["To: auteur@courriel.example"]
    assert "/r/" not in by_reader["To: voisin@courriel.example"]


def test_whoever_takes_it_is_named_with_the_day_it_should_be_done(
    session: Session, tell: Tell
) -> None:
    city = new_jurisdiction(session)
    team = new_team(session, city, names={"fr": "Voirie centre", "en": "Central roads"})
    report = new_report(
        session,
        new_service(session, city),
        team=team,
        status=Status.ASSIGNED,
        due_at=WEDNESDAY + timedelta(days=2, hours=14),  # 00:00 on Saturday in Montpellier
    )
    new_follower(session, report, is_reporter=True)
    (letter,) = tell("report.assigned", report)
    assert "L’équipe « Voirie centre » s’occupe" in letter
    assert "d’ici le 14 mars 2026" in letter


def test_a_rejection_says_where_to_object_and_not_on_a_page_that_takes_no_words(
    session: Session, tell: Tell
) -> None:
    report = new_report(session, status=Status.REJECTED)
    new_follower(session, report, is_reporter=True)
    (letter,) = tell("report.status_changed", report, **{"from": "triaged", "to": "rejected"})
    assert "écrivez à la ville" in letter
    assert "répondez-nous par le lien" not in letter


def test_a_question_reaches_the_reporter_with_a_way_to_answer(session: Session, tell: Tell) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True, email=None, phone="+33612345678")
    note = Note(
        report_id=report.id,
        kind=NoteKind.QUESTION.value,
        author_kind="staff",
        body="De quel côté de la rue ?",
        created_at=WEDNESDAY,
    )
    session.add(note)
    session.flush()
    (text,) = tell("report.question_asked", report, note_id=str(note.id))
    assert "To: +33612345678\nChannel: sms\n" in text
    assert "De quel côté de la rue ?" in text
    assert link_in(text, "r")[0] == report.id


def test_somebody_is_asked_to_confirm_and_told_nothing_else(session: Session, tell: Tell) -> None:
    report = new_report(session)
    follower = new_follower(session, report, is_confirmed=False)
    (letter,) = tell("report.followed", report, follower_id=str(follower.id))
    follower_id, token = link_in(letter, "confirm")
    assert follower_id == follower.id
    assert matches(LINKS.secret, Purpose.CONFIRM, follower.id, 1, token)
    assert "/leave/" not in letter


def test_a_persons_browser_is_told_of_the_report_they_follow(session: Session, tell: Tell) -> None:
    citizen = new_citizen(session)
    service = new_service(session)
    parent = new_report(session, service, status=Status.ASSIGNED)
    duplicate = new_report(session, service, parent=parent)
    new_follower(
        session, duplicate, is_reporter=True, person_id=citizen.id, email=None, locale="en"
    )
    session.add(
        PushSubscription(
            person_id=citizen.id,
            endpoint="https://push.example/1",
            keys={"p256dh": "x", "auth": "y"},
            created_at=WEDNESDAY,
        )
    )
    session.flush()
    data = resolved(session, parent, "Done.")
    push, letter = sorted(
        tell("report.status_changed", parent, **data), key=lambda text: "Channel: email" in text
    )
    assert "Channel: push" in push
    assert f"Subject: Report no. {duplicate.number}: " in push
    assert f"/r/{duplicate.id}/" in push
    assert f"To: {citizen.person.email}\n" in letter


def test_the_sign_in_letter_has_a_code_and_a_link(
    session: Session, folder: Any, outbox: Path
) -> None:
    city = new_jurisdiction(session)
    challenge = SignInChallenge(
        email="camille@courriel.example",
        jurisdiction_id=city.id,
        locale="en",
        created_at=WEDNESDAY,
        expires_at=WEDNESDAY + timedelta(minutes=15),
    )
    session.add(challenge)
    session.flush()
    event = new_event("sign_in.asked", challenge.id, city.id, at=WEDNESDAY)
    announce(session, [event], now=WEDNESDAY)
    send_due(session, folder, now=WEDNESDAY)
    (letter,) = letters(outbox)
    code = code_for(LINKS.secret, Purpose.SIGN_IN, challenge.id, 1)
    assert f"Subject: {code} is your sign-in code" in letter
    assert "It is good until 10:15" in letter
    assert link_in(letter, "sign-in")[0] == challenge.id


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("fr", ["votre invitation", "traitement des signalements", "18 mars 2026"]),
        ("en", ["your invitation", "Your role: agent", "18 March 2026"]),
    ],
)
def test_an_invitation_goes_out_with_its_link_unless_it_was_taken_back(
    session: Session, folder: Any, outbox: Path, locale: str, words: list[str]
) -> None:
    team = new_team(session)
    made = [
        Invitation(
            email=f"{name}@courriel.example",
            locale=locale,
            role="agent",
            jurisdiction_id=team.jurisdiction_id,
            team_id=team.id,
            version=2,
            created_at=WEDNESDAY,
            expires_at=WEDNESDAY + timedelta(days=7),
            revoked_at=WEDNESDAY if name == "noe" else None,
        )
        for name in ("camille", "noe")
    ]
    session.add_all(made)
    session.flush()
    events = [
        new_event("invitation.sent", one.id, team.jurisdiction_id, at=WEDNESDAY) for one in made
    ]
    announce(session, events, now=WEDNESDAY)
    announce(session, events, now=WEDNESDAY)
    send_due(session, folder, now=WEDNESDAY)
    (letter,) = letters(outbox)
    assert "To: camille@courriel.example" in letter
    assert all(each in letter for each in words), letter
    assert team.names[locale] in letter
    invitation_id, token = link_in(letter, "invitations")
    assert invitation_id == made[0].id
    assert matches(LINKS.secret, Purpose.INVITATION, invitation_id, 2, token)


def test_a_sign_in_that_no_city_was_named_for_goes_out_too(
    session: Session, folder: Any, outbox: Path
) -> None:
    challenge = SignInChallenge(
        email="camille@courriel.example",
        created_at=WEDNESDAY,
        expires_at=WEDNESDAY + timedelta(minutes=15),
    )
    session.add(challenge)
    session.flush()
    announce(session, [new_event("sign_in.asked", challenge.id, None, at=WEDNESDAY)], now=WEDNESDAY)
    send_due(session, folder, now=WEDNESDAY)
    assert len(letters(outbox)) == 1


def test_a_webhook_says_what_the_public_may_know(
    session: Session, folder: Any, outbox: Path
) -> None:
    city = new_jurisdiction(session)
    session.add(
        WebhookEndpoint(
            jurisdiction_id=city.id, url="https://hooks.example/", events=[], created_at=WEDNESDAY
        )
    )
    report = new_report(
        session,
        new_service(session, city),
        requested_at=WEDNESDAY,
        description="Chez Mme Durand, 06 12 34 56 78",
    )
    event = new_event(
        "report.status_changed",
        report.id,
        city.id,
        at=WEDNESDAY,
        history_id=12,
        note_id=str(new_id()),
        to="resolved",
    )
    announce(session, [event], now=WEDNESDAY)
    send_due(session, folder, now=WEDNESDAY)
    (call,) = letters(outbox)
    payload = json.loads(call.partition("\n\n")[2])
    assert payload["type"] == "report.status_changed"
    assert payload["timestamp"] == "2026-03-11T09:00:00.000Z"
    assert payload["data"]["to"] == "resolved"
    assert "note_id" not in payload["data"]
    assert payload["data"]["report"]["id"] == str(report.id)
    assert payload["data"]["report"]["requested_at"] == "2026-03-11T09:00:00.000Z"
    assert "Durand" not in call


def test_a_code_to_sign_in_goes_by_text_in_the_recipients_language(
    session: Session, folder: Any, outbox: Path
) -> None:
    city = new_jurisdiction(session)
    texts = []
    for locale in ("fr", "en"):
        challenge = SignInChallenge(
            phone="+33612345678",
            jurisdiction_id=city.id,
            locale=locale,
            created_at=WEDNESDAY,
            expires_at=WEDNESDAY + timedelta(minutes=15),
        )
        session.add(challenge)
        session.flush()
        announce(
            session,
            [new_event("sign_in.asked", challenge.id, city.id, at=WEDNESDAY)],
            now=WEDNESDAY,
        )
        send_due(session, folder, now=WEDNESDAY)
        code = code_for(LINKS.secret, Purpose.SIGN_IN, challenge.id, 1)
        text = next(each for each in letters(outbox) if code in each)
        assert "+33612345678" in text
        assert "Channel: sms" in text
        texts.append(text.replace(code, "123456"))
    assert "Ville : 123456 est votre code de connexion, valable jusqu'à 10:15." in texts[0]
    assert "City: 123456 is your sign-in code, good until 10:15." in texts[1]


def test_a_new_contact_gets_the_code_and_each_old_one_gets_word_of_it(
    session: Session, folder: Any, outbox: Path
) -> None:
    city = new_jurisdiction(session, contact={"email": "bonjour@ville.example"})
    person = new_person(session, email="ancienne@courriel.example", phone="+33612345678")
    challenge = SignInChallenge(
        purpose="contact",
        email="nouvelle@courriel.example",
        person_id=person.id,
        old_email=person.email,
        old_phone=person.phone,
        jurisdiction_id=city.id,
        locale="fr",
        created_at=WEDNESDAY,
        expires_at=WEDNESDAY + timedelta(minutes=15),
    )
    session.add(challenge)
    session.flush()
    event = new_event(
        "contact.asked", challenge.id, city.id, at=WEDNESDAY, challenge_id=str(challenge.id)
    )
    announce(session, [event], now=WEDNESDAY)
    # The account has the new address before the mail server takes the word to the old one.
    person.email = "nouvelle@courriel.example"
    session.flush()
    send_due(session, folder, now=WEDNESDAY)
    code = code_for(LINKS.secret, Purpose.SIGN_IN, challenge.id, 1)
    told = letters(outbox)
    assert len(told) == 3
    (proof,) = [each for each in told if code in each]
    assert "nouvelle@courriel.example" in proof
    assert "http" not in proof
    (old_letter,) = [each for each in told if "ancienne@courriel.example" in each]
    (old_text,) = [each for each in told if "+33612345678" in each]
    for each in (old_letter, old_text):
        assert "bonjour@ville.example" in each
        assert "nouvelle@courriel.example" not in each
    # Announced again, nobody hears of it twice.
    assert announce(session, [event], now=WEDNESDAY) == []


def test_whoever_has_an_account_hears_that_it_was_changed_in_their_language(
    session: Session, folder: Any, outbox: Path
) -> None:
    city = new_jurisdiction(session, contact={"email": "bonjour@ville.example"})
    camille = new_person(
        session, email="camille@courriel.example", phone="+33612345678", locale="fr"
    )
    sam = new_person(session, email="sam@mail.example", locale="en")
    events = [
        new_event("account.changed", camille.id, city.id, at=WEDNESDAY, change="password"),
        # With several cities, of none.
        new_event("account.changed", sam.id, None, at=WEDNESDAY, change="factor_off"),
    ]
    announce(session, events, now=WEDNESDAY)
    send_due(session, folder, now=WEDNESDAY)
    told = letters(outbox)
    assert len(told) == 3
    (letter,) = [each for each in told if "camille@courriel.example" in each]
    assert "Le mot de passe de votre compte a été changé." in letter
    assert "prévenez-nous sans attendre : bonjour@ville.example" in letter
    (text,) = [each for each in told if "+33612345678" in each]
    assert "Channel: sms" in text
    (other,) = [each for each in told if "sam@mail.example" in each]
    assert "The second factor of your account was turned off" in other
    assert announce(session, events, now=WEDNESDAY) == []


def test_a_new_contact_that_was_proved_is_told_to_where_somebody_was_reached_before(
    session: Session, folder: Any, outbox: Path
) -> None:
    city = new_jurisdiction(session)
    person = new_person(session, email="nouvelle@courriel.example", locale="fr")
    challenge = SignInChallenge(
        purpose="contact",
        email="nouvelle@courriel.example",
        person_id=person.id,
        old_email="ancienne@courriel.example",
        jurisdiction_id=city.id,
        created_at=WEDNESDAY,
        expires_at=WEDNESDAY + timedelta(minutes=15),
        used_at=WEDNESDAY,
    )
    session.add(challenge)
    session.flush()
    event = new_event(
        "account.changed",
        person.id,
        city.id,
        at=WEDNESDAY,
        change="email",
        challenge_id=str(challenge.id),
    )
    announce(session, [event], now=WEDNESDAY)
    send_due(session, folder, now=WEDNESDAY)
    (told,) = letters(outbox)
    assert "ancienne@courriel.example" in told
    assert "Une nouvelle adresse électronique a été confirmée" in told
    assert "nouvelle@courriel.example" not in told


def test_where_no_city_is_meant_a_code_says_whose_clock_ends_it(
    session: Session, folder: Any, outbox: Path
) -> None:
    challenge = SignInChallenge(
        email="dora@courriel.example",
        locale="fr",
        created_at=WEDNESDAY,
        expires_at=WEDNESDAY + timedelta(minutes=15),
    )
    session.add(challenge)
    session.flush()
    announce(session, [new_event("sign_in.asked", challenge.id, None, at=WEDNESDAY)], now=WEDNESDAY)
    send_due(session, folder, now=WEDNESDAY)
    (told,) = letters(outbox)
    assert f"{challenge.expires_at.astimezone(UTC):%H:%M} UTC" in told
