"""Retention: people and photos go when a report has been over for long enough, and not before."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from accounts.models import AuditEntry
from core.clock import utc_now
from core.db import db, transaction
from core.tokens import Purpose, token_for
from geo.cells import cell_of
from geo.models import Jurisdiction
from notifications.models import PushSubscription
from reports import conversation, retention
from reports.conversation import Wish
from reports.history import Author, add_note
from reports.masking import MARK, Identifiers, mask, mask_found
from reports.media import deleting
from reports.media.staging import cleaned_key, staged_key
from reports.models import (
    Follower,
    HistoryEntry,
    Note,
    Photo,
    Redaction,
    RetentionRun,
    Service,
    ServiceRequest,
)
from reports.retention_rules import DEFAULT, Terms, kept_answers
from reports.rules import public_point
from reports.storage import Folder, MissingFileError
from reports.vocabulary import ActorKind, NoteKind, PhotoState, Status
from tests.factories import (
    COMEDIE,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    stored,
)
from workers import retaining

NOW = utc_now()

CAMILLE = Identifiers.of(["Zéphyrine Quatrebarbes"], ["zq@courriel.example"], ["+33612345678"])


# -- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Signé ZÉPHYRINE QUATREBARBES.", f"Signé {MARK}."),
        ("Quatrebarbes, Zephyrine", MARK),
        ("M. Quatrebarbes attend", f"M. {MARK} attend"),
        ("les quatrebarbes du parc", "les quatrebarbes du parc"),
        ("Écrire à ZQ@courriel.example !", f"Écrire à {MARK} !"),
        ("xzq@courriel.example", "xzq@courriel.example"),
        ("06 12 34 56 78", MARK),
        ("06.12.34.56.78", MARK),
        ("+33 (0)6 12 34 56 78", MARK),
        ("0033612345678", MARK),
        ("1061234567890", "1061234567890"),
        ("Un trou.", "Un trou."),
        ("", ""),
    ],
)
def test_a_person_is_found_in_any_spelling(text: str, left: str) -> None:
    assert mask(text, CAMILLE) == left


@given(text=st.text())
def test_masking_twice_changes_nothing_and_whoever_is_not_named_is_left_alone(text: str) -> None:
    once = mask(text, CAMILLE)
    assert mask(once, CAMILLE) == once
    assert mask(text, Identifiers()) == text


def test_what_the_rule_finds_of_anybody_is_taken_out() -> None:
    text = "Demander M. Dupont au 04 67 34 70 00, voiture AB-123-CD."
    assert mask_found(text, "FR") == f"Demander {MARK} au {MARK}, voiture {MARK}."


def test_terms_are_the_services_where_it_says_so() -> None:
    assert Terms.of({}) == DEFAULT
    assert Terms.of({"photos_days": 7}) == Terms(DEFAULT.contacts_days, 7)


def test_answers_in_free_text_go_and_chosen_ones_stay() -> None:
    questions = [
        {"code": "who", "datatype": "string"},
        {"code": "more", "datatype": "text"},
        {"code": "danger", "datatype": "singlevaluelist"},
        {"code": "depth", "datatype": "number"},
    ]
    answers = {"who": "moi", "more": "…", "danger": "oui", "depth": 3, "gone": "?"}
    assert kept_answers(answers, questions) == {"danger": "oui", "depth": 3}


# -- people ---------------------------------------------------------------------------------------


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def service(session: Session, city: Jurisdiction) -> Service:
    return new_service(
        session,
        city,
        retention={"contacts_days": 30, "photos_days": 60},
        attributes=[
            {"code": "who", "datatype": "string", "required": False, "order": 1,
             "descriptions": {}},
        ],
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def over(
    session: Session,
    service: Service,
    days: float,
    status: Status = Status.CLOSED,
    **values: Any,
) -> ServiceRequest:
    """A report that was over so many days ago."""
    at = NOW - timedelta(days=days)
    return new_report(
        session, service, status=status, requested_at=at - timedelta(days=3), closed_at=at, **values
    )


def run(folder: Folder, now: datetime = NOW) -> list[retaining.Run]:
    # What a test prepared must not go when a session that was read with is given back.
    db.session.commit()
    return retaining.run(folder, now=now, is_forced=True)


def test_everybody_is_forgotten_and_the_report_stays(
    app: Flask, client: FlaskClient, session: Session, service: Service, folder: Folder
) -> None:
    citizen = new_citizen(session, name="Zéphyrine Quatrebarbes")
    agent = new_staff(session, session.get_one(Jurisdiction, service.jurisdiction_id))
    report = over(
        session,
        service,
        31,
        description="Trou. Zéphyrine Quatrebarbes, zq@courriel.example, ou M. Dupont.",
        address_given="chez Quatrebarbes",
        attributes={"who": "Zéphyrine"},
        submitted_by=citizen.id,
        display="full",
    )
    reporter = new_follower(
        session,
        report,
        is_reporter=True,
        name="Zéphyrine Quatrebarbes",
        email="zq@courriel.example",
        phone="+33612345678",
        person_id=citizen.id,
    )
    follower = new_follower(session, report)
    session.add(
        PushSubscription(
            follower_id=reporter.id, endpoint="https://push.example/1", keys={}, created_at=NOW
        )
    )
    session.add(
        HistoryEntry(
            report_id=report.id, at=NOW, kind="added", actor_kind="reporter",
            actor_id=citizen.id, data={},
        )
    )  # fmt: skip
    session.add(
        Redaction(
            report_id=report.id, subject="description", before="secret", by_kind="reporter",
            by_id=citizen.id, at=NOW,
        )
    )  # fmt: skip
    for kind, id_ in ((ActorKind.REPORTER, citizen.id), (ActorKind.STAFF, agent.id)):
        add_note(
            session, report.id, NoteKind.ADDITION if id_ == citizen.id else NoteKind.INTERNAL,
            "Rappeler Mme Quatrebarbes au 06 12 34 56 78.", by=Author(kind, id_),
            history_id=None, now=NOW,
        )  # fmt: skip
    photo = new_photo(session, report, gps_lat=43.6, gps_lon=3.8, storage_name="c" * 32)
    token = token_for(app.config["SECRET_KEY"], Purpose.TRACK, report.id, 1)
    shown = client.get(f"/api/v1/reports/{report.id}").json
    assert shown["reporter_name"] == "Zéphyrine Quatrebarbes"

    [done] = run(folder)

    assert done.anonymised == 1
    session.expire_all()
    for row in (reporter, follower):
        assert (row.name, row.email, row.phone, row.person_id) == (None,) * 4
        assert row.erased_at == NOW
    assert report.description == f"Trou. {MARK}, {MARK}, ou {MARK}."
    assert (report.address_given, report.attributes, report.submitted_by) == (None, {}, None)
    assert (report.caller_hash, report.content_hash) == (b"", b"")
    assert report.address == "1 place de la Comédie"
    assert (report.lat, report.lon) == (COMEDIE.lat, COMEDIE.lon)
    assert not stored(session, PushSubscription)
    assert [entry.actor_id for entry in stored(session, HistoryEntry, kind="added")] == [None]
    assert [row.before for row in stored(session, Redaction)] == [None]
    notes = {note.author_kind: note for note in stored(session, Note)}
    assert notes["reporter"].author_id is None
    assert notes["staff"].author_id == agent.id
    assert {note.body for note in notes.values()} == {f"Rappeler Mme {MARK} au {MARK}."}
    assert (photo.gps_lat, photo.gps_lon, photo.state) == (None, None, "ready")
    assert [entry.kind for entry in stored(session, HistoryEntry, report_id=report.id)][-1] == (
        "anonymised"
    )
    again = client.get(f"/api/v1/reports/{report.id}").json
    assert again["reporter_name"] is None
    assert again["followers"] == shown["followers"] == 1, "who followed is still counted"
    # The link of the reporter opens nothing any more.
    with_link = client.get(f"/api/v1/reports/{report.id}", headers={"X-Tracking-Token": token})
    assert with_link.status_code == 404
    found = client.get("/api/v1/reports?q=quatrebarbes", headers=agent.headers).json["items"]
    assert found == []


@pytest.mark.parametrize(
    ("status", "days", "goes"),
    [
        (Status.CLOSED, 31, True),
        (Status.REJECTED, 31, True),
        (Status.CLOSED, 29, False),
        (Status.REJECTED, 29, False),
    ],
)
def test_what_counts_is_how_long_it_has_been_over(
    session: Session, service: Service, folder: Folder, status: Status, days: int, goes: bool
) -> None:
    report = over(session, service, days, status)
    new_follower(session, report, is_reporter=True)
    run(folder)
    session.expire_all()
    assert (report.anonymised_at is not None) is goes


def test_what_is_not_over_is_left_alone_however_old(
    session: Session, service: Service, folder: Folder
) -> None:
    for status in Status:
        if status not in (Status.CLOSED, Status.REJECTED, Status.DUPLICATE):
            old = new_report(
                session, service, status=status, requested_at=NOW - timedelta(days=4000)
            )
            new_follower(session, old, is_reporter=True)
    run(folder)
    assert not [row for row in stored(session, Follower) if row.erased_at]


def test_a_duplicate_is_over_with_the_report_that_it_repeats(
    session: Session, service: Service, folder: Folder
) -> None:
    early, late = over(session, service, 31), over(session, service, 3)
    children = [new_report(session, service, parent=parent) for parent in (early, late)]
    for child in children:
        new_follower(session, child, is_reporter=True)
    run(folder)
    session.expire_all()
    assert [child.anonymised_at is not None for child in children] == [True, False]


def test_of_a_service_that_shows_blocks_the_door_goes_too(
    session: Session, city: Jurisdiction, folder: Folder
) -> None:
    private = new_service(session, city, public_precision="block", retention={"contacts_days": 1})
    report = over(session, private, 2, address="12 rue de la Loge", accuracy_m=4.0)
    session.add(
        HistoryEntry(
            report_id=report.id, at=NOW, kind="moved", actor_kind="staff",
            data={"from_lat": 43.6, "from_lon": 3.8, "lat": COMEDIE.lat, "lon": COMEDIE.lon},
        )
    )  # fmt: skip
    run(folder)
    session.expire_all()
    shown = public_point(COMEDIE, "block")
    assert (report.lat, report.lon, report.cell) == (shown.lat, shown.lon, cell_of(shown))
    assert (report.address, report.accuracy_m) == ("rue de la Loge", None)
    [entry] = stored(session, HistoryEntry, kind="moved")
    assert entry.data == {}


def test_who_joins_after_is_forgotten_by_the_next_run(
    session: Session, service: Service, folder: Folder
) -> None:
    report = over(session, service, 40)
    run(folder)
    session.expire_all()
    wish = Wish(locale="fr", email="tard@courriel.example")
    conversation.follow(session, report, wish, now=NOW)
    session.flush()
    assert retention.is_due(session, service.jurisdiction_id, now=NOW)
    run(folder)
    assert not [row for row in stored(session, Follower) if row.email]


def test_a_run_finds_nothing_the_second_time_and_says_so(
    session: Session, service: Service, folder: Folder
) -> None:
    report = over(session, service, 31)
    new_follower(session, report, is_reporter=True)
    quiet = over(session, service, 31)
    run(folder)
    assert not retaining.run(folder, now=NOW, only=-1)
    version = session.get_one(ServiceRequest, report.id).version
    assert session.get_one(ServiceRequest, quiet.id).version == 1, "nobody was in it"
    assert not retention.is_due(session, service.jurisdiction_id, now=NOW)
    assert not retaining.run(folder, now=NOW)
    run(folder)
    assert session.get_one(ServiceRequest, report.id).version == version
    assert [row.anonymised for row in stored(session, RetentionRun)] == [1, 0]
    assert len(stored(session, AuditEntry, action="retention.ran")) == 2


# -- photos ---------------------------------------------------------------------------------------


def put(folder: Folder, name: str) -> list[str]:
    keys = [staged_key(name), cleaned_key(name, "full"), cleaned_key(name, "thumb")]
    for key in keys:
        folder.put(key, io.BytesIO(b"x"), "image/jpeg")
    return keys


def left(folder: Folder, keys: list[str]) -> list[str]:
    found = []
    for key in keys:
        try:
            folder.get(key)
        except MissingFileError:
            continue
        found.append(key)
    return found


def test_photos_go_from_the_page_and_from_the_storage(
    client: FlaskClient, session: Session, service: Service, folder: Folder
) -> None:
    report, young = over(session, service, 61), over(session, service, 59)
    photo = new_photo(session, report, storage_name="a" * 32)
    kept = new_photo(session, young, storage_name="b" * 32)
    gone, stay = put(folder, "a" * 32), put(folder, "b" * 32)

    run(folder)

    session.expire_all()
    assert left(folder, gone) == []
    assert left(folder, stay) == stay
    assert (photo.state, photo.dropped_because, photo.storage_name) == (
        "dropped",
        "retention",
        None,
    )
    assert kept.state == "ready"
    assert report.photos_deleted_at == NOW
    assert client.get(f"/api/v1/reports/{report.id}").json["photos"] == []
    [entry] = stored(session, RetentionRun)
    assert entry.photos_deleted == 1


def test_killed_between_the_row_and_the_file_the_next_run_deletes_it(
    session: Session, service: Service, folder: Folder
) -> None:
    report = over(session, service, 61)
    photo = new_photo(session, report, storage_name="a" * 32)
    keys = put(folder, "a" * 32)
    with transaction() as inner:
        run_id = retention.begin(inner, service.jurisdiction_id, now=NOW)
        retention.hide_photos(inner, run_id, service.jurisdiction_id, now=NOW)
    # Here the process dies. The row still knows its files, and nobody sees the photo.
    session.expire_all()
    assert (photo.state, photo.storage_name) == ("dropped", "a" * 32)
    assert left(folder, keys) == keys

    retaining.delete_files(folder, now=NOW)

    session.expire_all()
    assert left(folder, keys) == []
    assert photo.storage_name is None


def test_a_redacted_photo_is_deleted_after_its_days(
    session: Session, service: Service, folder: Folder
) -> None:
    photo = new_photo(session, new_report(session, service), storage_name="a" * 32)
    keys = put(folder, "a" * 32)
    deleting.hide(session, [photo.id], deleting.Reason.REDACTED, now=NOW)
    session.commit()
    retaining.delete_files(folder, now=NOW + timedelta(days=29))
    assert left(folder, keys) == keys
    retaining.delete_files(folder, now=NOW + timedelta(days=31))
    assert left(folder, keys) == []


def test_what_somebody_works_on_waits_and_batches_go_on(
    committed_db: Flask, folder: Folder
) -> None:
    with committed_db.app_context():
        with transaction() as session:
            service = new_service(session, retention={"contacts_days": 1})
            place = service.jurisdiction_id
            ids = [over(session, service, 9).id for _ in range(5)]
            for id_ in ids:
                new_follower(session, session.get_one(ServiceRequest, id_), is_reporter=True)
        with db.engine.connect() as other, other.begin():
            other.execute(
                sa.text("SELECT 1 FROM service_requests WHERE id = :id FOR UPDATE"), {"id": ids[0]}
            )
            with transaction() as session:
                run_id = retention.begin(session, place, now=NOW)
            sizes = []
            while True:
                with transaction() as session:
                    done = retention.forget_people(session, run_id, place, now=NOW, limit=3)
                if not done:
                    break
                assert ids[0] not in done
                sizes.append(len(done))
        assert sizes == [3, 1]
        retaining.run(folder, now=NOW, is_forced=True)
        with transaction() as session:
            assert not [row for row in stored(session, Follower) if row.email]
            rows = stored(session, RetentionRun)
            assert [row.anonymised for row in rows] == [4, 1]


# -- command --------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_go_and_changes_nothing(
    app: Flask, session: Session, service: Service
) -> None:
    report = over(session, service, 61)
    new_follower(session, report, is_reporter=True)
    new_photo(session, report, storage_name="a" * 32)
    over(session, new_service(session, code="autre"), 1)
    session.commit()

    said = app.test_cli_runner().invoke(args=["retention", "run", "--dry-run"])

    assert said.exit_code == 0, said.output
    assert f"{service.code}" in said.output
    assert "1 (30 d)" in said.output
    assert "1 (60 d)" in said.output
    assert "autre" not in said.output
    assert "would go: the people of 1 reports, 1 photos" in said.output
    session.expire_all()
    assert report.anonymised_at is None
    assert not stored(session, RetentionRun)


def test_a_run_by_hand_is_reported(
    app: Flask, session: Session, city: Jurisdiction, service: Service
) -> None:
    new_follower(session, over(session, service, 61), is_reporter=True)
    session.commit()
    runner = app.test_cli_runner()

    said = runner.invoke(args=["retention", "run", "--jurisdiction", city.code])
    told = runner.invoke(args=["retention", "report", "--jurisdiction", city.code])
    unknown = runner.invoke(args=["retention", "run", "--jurisdiction", "nulle-part"])

    assert said.exit_code == 0, said.output
    assert f"{city.code}: people forgotten in 1 reports" in said.output
    assert city.code in told.output
    assert unknown.exit_code == 2
    assert len(stored(session, RetentionRun)) == 1


def test_staged_photos_are_hidden_too(session: Session, service: Service, folder: Folder) -> None:
    report = over(session, service, 61)
    photo = new_photo(session, report, state=PhotoState.STAGED, storage_name="a" * 32)
    keys = put(folder, "a" * 32)
    run(folder)
    session.expire_all()
    assert photo.state == "dropped"
    assert left(folder, keys) == []
    assert [row.id for row in stored(session, Photo)] == [photo.id]
