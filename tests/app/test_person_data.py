"""Everything held on one person: exported whole, and erased from every place there is."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session

from accounts import passwords, people_data
from accounts.audit import OPERATOR
from accounts.models import (
    ApiKey,
    AuditEntry,
    Block,
    ChallengePurpose,
    Identity,
    Invitation,
    Person,
    SecondFactor,
    SignInChallenge,
)
from accounts.people_data import Who
from accounts.rules import Role
from core.clock import utc_now
from core.db import db, reading, transaction
from core.ids import new_id
from core.models import DeadLetter, KeptAnswer, OutboxEvent
from core.tokens import Purpose, token_for
from geo.models import Jurisdiction
from notifications.models import Delivery, PushSubscription
from reports.history import SYSTEM, Author, Entry, add_note, append
from reports.masking import MARK
from reports.media import cleaning
from reports.media.staging import cleaned_key, staged_key
from reports.models import Follower, HistoryEntry, Photo, ServiceRequest
from reports.storage import Folder
from reports.vocabulary import ActorKind, HistoryKind, NoteKind, PhotoState, Source, Status
from tests.factories import (
    SignedIn,
    grant,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_person,
    new_photo,
    new_report,
    new_service,
    new_staff,
    new_team,
    sign_in,
    stored,
)
from tests.workers.driving import run_pipeline
from workers import person_data, pipeline

NAME = "Zéphyrine Quatrebarbes"
EMAIL = "zephyrine.quatrebarbes@courriel.example"
PHONE = "+33698765432"

#: However somebody may have been written down; compared in lower case.
SPELLINGS = (
    "quatrebarbes",
    "zéphyrine",
    "zephyrine",
    "33698765432",
    "0698765432",
    "06 98 76 54 32",
    "06.98.76.54.32",
)

NOW = utc_now()


@pytest.fixture
def data_dir(app: Flask) -> Path:
    return Path(app.extensions["settings"].data_dir)


@pytest.fixture
def storage(app: Flask) -> Folder:
    found: Folder = app.extensions["storage"]
    return found


def photo_bytes() -> bytes:
    """A photo in which the phone wrote whose it is."""
    image = Image.new("RGB", (40, 30), "grey")
    exif = Image.Exif()
    exif[0x013B] = "Zephyrine Quatrebarbes"  # Artist
    exif[0x8298] = EMAIL  # Copyright
    target = io.BytesIO()
    image.save(target, "JPEG", exif=exif)
    return target.getvalue()


def fill(session: Session, storage: Folder, data_dir: Path) -> dict[str, Any]:
    """Put one person into every place that can hold one, beside others who must stay."""
    city = new_jurisdiction(session, code="montpellier")
    team = new_team(session, city)
    service = new_service(
        session,
        city,
        attributes=[
            {"code": "qui", "datatype": "string", "required": False, "order": 1,
             "descriptions": {}},
        ],
    )  # fmt: skip
    person = new_person(
        session,
        email=EMAIL,
        phone=PHONE,
        name=NAME,
        password_hash="$argon2id$…",
    )
    sign_in(session, person)
    own = new_report(
        session,
        service,
        status=Status.ASSIGNED,
        team=team,
        description=f"Trou. {NAME}, {EMAIL}, 06 98 76 54 32.",
        address_given="3 rue Foch, chez Mme QUATREBARBES",
        attributes={"qui": f"{NAME} ({PHONE})"},
        submitted_by=person.id,
        display="full",
        search=sa.func.to_tsvector(sa.literal_column("'simple'"), "zephyrine quatrebarbes"),
    )
    reporter = new_follower(
        session, own, is_reporter=True, name=NAME, email=EMAIL, phone=PHONE, person_id=person.id
    )
    without_account = new_report(session, service, status=Status.CLOSED)
    new_follower(session, without_account, is_reporter=True, name="Z. Quatrebarbes", email=EMAIL)
    theirs = new_report(
        session, service, description=f"Le voisin dit d'écrire à {EMAIL.upper()} ou 0698765432."
    )
    neighbour = new_follower(session, theirs, is_reporter=True, name="Ana Petit")
    followed = new_follower(session, theirs, name=NAME, email=EMAIL)
    for report, kind, author, note in (
        (own, ActorKind.REPORTER, person.id, NoteKind.ADDITION),
        (own, ActorKind.STAFF, None, NoteKind.INTERNAL),
        (theirs, ActorKind.STAFF, None, NoteKind.INTERNAL),
    ):
        name = "Mme Quatrebarbes" if report is own else "Contact"
        add_note(
            session, report.id, note, f"{name} : +33 6 98 76 54 32, {EMAIL}",
            by=Author(kind, author), history_id=None, now=NOW,
        )  # fmt: skip
    session.add(
        HistoryEntry(
            report_id=own.id, at=NOW, kind="added", actor_kind="reporter",
            actor_id=person.id, data={},
        )
    )  # fmt: skip
    session.add_all(
        [
            PushSubscription(
                follower_id=reporter.id, endpoint="https://push.example/quatrebarbes",
                keys={"p256dh": "x", "auth": "y"}, created_at=NOW,
            ),
            SignInChallenge(
                purpose=ChallengePurpose.SIGN_IN.value, email=EMAIL, created_at=NOW,
                expires_at=NOW,
            ),
            SignInChallenge(
                purpose=ChallengePurpose.SIGN_IN.value, phone=PHONE, created_at=NOW,
                expires_at=NOW,
            ),
            Invitation(
                email=EMAIL, name=NAME, role="agent", jurisdiction_id=city.id, created_at=NOW,
                expires_at=NOW,
            ),
            Identity(
                person_id=person.id, jurisdiction_id=city.id, issuer="https://id.example",
                subject="zephyrine.quatrebarbes", created_at=NOW, last_used_at=NOW,
            ),
            ApiKey(person_id=person.id, name="PC de Zéphyrine", key_hash=b"k", created_at=NOW),
            SecondFactor(person_id=person.id, started_at=NOW, confirmed_at=NOW),
            KeptAnswer(
                digest=b"1", payload_digest=b"p", subject_id=own.id, status=200, headers={},
                body=json.dumps({"reporter_name": NAME}, ensure_ascii=False), created_at=NOW,
            ),
            KeptAnswer(
                digest=b"2", payload_digest=b"p", subject_id=None, status=200, headers={},
                body=json.dumps({"email": EMAIL}), created_at=NOW,
            ),
        ]
    )  # fmt: skip
    session.flush()
    event = OutboxEvent(name="report.submitted", subject_id=own.id, jurisdiction_id=city.id)
    session.add(event)
    session.flush()
    session.add(
        DeadLetter(
            event_id=event.id, reaction="announce", failed_at=NOW,
            error=f"SMTPRecipientsRefused: {EMAIL}",
        )
    )  # fmt: skip
    outbox = data_dir / "outbox"
    outbox.mkdir(exist_ok=True)
    for channel, recipient, to in (
        ("email", ("follower", str(reporter.id)), EMAIL),
        ("sms", ("follower", str(reporter.id)), PHONE),
        ("push", ("follower", str(followed.id)), "browser 1"),
        ("email", ("follower", str(neighbour.id)), neighbour.email),
    ):
        delivery = Delivery(
            id=new_id(), event_id=new_id().int % 2**40, event="received",
            jurisdiction_id=city.id, report_id=own.id, recipient_kind=recipient[0],
            recipient_id=recipient[1], channel=channel, locale="fr", data={}, state="sent",
            created_at=NOW, next_attempt_at=NOW, sent_at=NOW, provider_id=f"<{channel}@smtp>",
        )  # fmt: skip
        session.add(delivery)
        (outbox / f"{delivery.id}.txt").write_text(f"To: {to}\n\nBonjour,\n", encoding="utf-8")
    # Of an address that no row knows any more.
    (outbox / f"{new_id()}.txt").write_text(f"To: {EMAIL}\n\nBonjour {NAME},\n", encoding="utf-8")
    desk = data_dir / ".outbox-unfinished"
    desk.mkdir(exist_ok=True)
    (desk / "1-1-x").write_text(f"To: {EMAIL}", encoding="utf-8")
    staged = new_photo(session, own, state=PhotoState.STAGED, storage_name="a" * 32)
    storage.put(staged_key("a" * 32), io.BytesIO(photo_bytes()), "image/jpeg")
    ready = new_photo(session, own, storage_name="b" * 32, gps_lat=43.6, gps_lon=3.9)
    storage.put(cleaned_key("b" * 32, "full"), io.BytesIO(b"jpeg of a hole"), "image/jpeg")
    session.flush()
    return {
        "person": person.id, "own": own.id, "theirs": theirs.id, "neighbour": neighbour.id,
        "followed": followed.id, "staged": staged.id, "ready": ready.id, "city": city.id,
        "neighbour_email": neighbour.email,
    }  # fmt: skip


def everything(session: Session) -> Iterator[tuple[str, str]]:
    """Every row of every table as text, bytes in clear."""
    columns = session.execute(
        sa.text(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
        )
    ).all()
    tables: dict[str, list[tuple[str, str]]] = {}
    for row in columns:
        tables.setdefault(row.table_name, []).append((row.column_name, row.data_type))
    for table, named in tables.items():
        parts = ", ".join(
            f"encode(\"{name}\", 'escape')" if kind == "bytea" else f'"{name}"::text'
            for name, kind in named
        )
        for row in session.execute(sa.text(f'SELECT {parts} FROM "{table}"')):
            for (name, _), value in zip(named, row, strict=True):
                if value is not None:
                    yield f"{table}.{name}", str(value)


def traces(session: Session, data_dir: Path) -> list[str]:
    """Where anything of this person can still be read."""
    found = [
        place
        for place, text in everything(session)
        if any(spelling in text.lower() for spelling in SPELLINGS)
    ]
    for path in data_dir.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode("utf-8", "replace").lower()
            if any(spelling in text for spelling in SPELLINGS):
                found.append(str(path.relative_to(data_dir)))
    return sorted(set(found))


def erase(storage: Folder, data_dir: Path, who: Who) -> person_data.Outcome:
    return person_data.erase(who, OPERATOR, storage=storage, data_dir=data_dir, now=NOW)


def test_after_erasing_nothing_of_a_person_is_left_in_any_table_or_file(
    committed_db: Flask, storage: Folder, data_dir: Path
) -> None:
    with committed_db.app_context():
        with transaction() as session:
            known = fill(session, storage, data_dir)
        with reading() as session:
            before = traces(session, data_dir)
            who = people_data.identify(session, email=EMAIL)
        # The test is worth something only if it saw all of these.
        for place in (
            "api_keys.name",
            "dead_letters.error",
            "followers.email",
            "followers.name",
            "followers.phone",
            "identities.subject",
            "invitations.email",
            "kept_answers.body",
            "notes.body",
            "people.email",
            "people.name",
            "people.phone",
            "push_subscriptions.endpoint",
            "service_requests.address_given",
            "service_requests.attributes",
            "service_requests.description",
            "service_requests.search",
            "sign_in_challenges.email",
            "sign_in_challenges.phone",
        ):
            assert place in before, place
        assert sum(place.startswith("outbox/") for place in before) == 3
        assert any(place.startswith("media/staged/") for place in before)

        outcome = erase(storage, data_dir, who)

        with reading() as session:
            assert traces(session, data_dir) == []
            own = session.get_one(ServiceRequest, known["own"])
            assert own.description == f"Trou. {MARK}, {MARK}."
            assert own.address_given == f"3 rue Foch, chez Mme {MARK}"
            assert own.submitted_by is None
            assert session.get(Person, known["person"]) is None
            # Others and what happened in the street stay as they were.
            assert session.get_one(Follower, known["neighbour"]).email == known["neighbour_email"]
            followed = session.get_one(Follower, known["followed"])
            assert followed.left_at is not None
            assert session.get_one(Photo, known["ready"]).state == "ready"
            assert storage.get(cleaned_key("b" * 32, "full"))
            cleaned = session.get_one(Photo, known["staged"])
            assert cleaned.state == "ready"
            [entry] = stored(session, AuditEntry, action="person.erased")
            assert entry.subject_id == str(known["person"])
            ids = [row.actor_id for row in stored(session, HistoryEntry, kind="added")]
            assert ids == [None]
        assert outcome.counts["accounts"] == 1
        assert outcome.counts["reports"] == 2
        assert outcome.counts["copies of messages"] == 5
        assert any("backups" in sentence for sentence in outcome.kept)

        again = erase(storage, data_dir, Who(email=EMAIL))
        assert again.total == 0
        with reading() as session:
            assert session.get_one(ServiceRequest, known["own"]).version == own.version


def test_killed_in_the_middle_it_is_simply_run_again(
    committed_db: Flask, storage: Folder, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_args: Any, **_kwargs: Any) -> None:
        raise Killed

    with committed_db.app_context():
        with transaction() as session:
            fill(session, storage, data_dir)
        for module, name in (
            (cleaning, "record"),
            (person_data.accounts_data, "erase"),
            (person_data.audit, "record"),
            (person_data.retaining, "delete_files"),
        ):
            with monkeypatch.context() as patched:
                patched.setattr(module, name, die)
                with reading() as session:
                    who = people_data.identify(session, email=EMAIL)
                with pytest.raises(Killed):
                    erase(storage, data_dir, who)
            db.session.remove()
        with reading() as session:
            who = people_data.identify(session, email=EMAIL)
        erase(storage, data_dir, who)
        with reading() as session:
            assert traces(session, data_dir) == []


def test_somebody_of_the_staff_leaves_an_id_without_a_name(
    session: Session, storage: Folder, data_dir: Path
) -> None:
    city = new_jurisdiction(session)
    agent = new_staff(session, city, email=EMAIL, name=NAME)
    team = new_team(session, city, email=EMAIL)
    service = new_service(session, city)
    report = new_report(session, service, status=Status.ASSIGNED, assignee_id=agent.id)
    call = new_report(session, service, source=Source.PHONE.value, submitted_by=agent.id)
    new_follower(session, call, is_reporter=True, name="Ana Petit")
    for kind in ("staff", "machine"):
        session.add(
            HistoryEntry(
                report_id=report.id, at=NOW, kind="commented", actor_kind=kind,
                actor_id=agent.id, data={},
            )
        )  # fmt: skip
    agent_id = agent.id
    session.commit()

    outcome = erase(storage, data_dir, people_data.identify(session, email=EMAIL))

    session.expire_all()
    assert {row.actor_id for row in stored(session, HistoryEntry, kind="commented")} == {agent_id}
    assert report.assignee_id is None
    assert call.submitted_by is None
    assert call.token_version == 1, "it is the caller's, who keeps the link"
    [caller] = stored(session, Follower, report_id=call.id)
    assert caller.name == "Ana Petit"
    kept = " ".join(outcome.kept)
    assert "2 entries of the history" in kept
    assert f"team {team.code}" in kept


# -- export ---------------------------------------------------------------------------------------


def opened(content: bytes) -> tuple[dict[str, Any], zipfile.ZipFile]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    documents = {
        name.removesuffix(".json"): json.loads(archive.read(name))
        for name in archive.namelist()
        if name.endswith(".json")
    }
    return documents, archive


def test_an_export_has_everything_and_explains_every_file(
    app: Flask, session: Session, storage: Folder, data_dir: Path, tmp_path: Path
) -> None:
    fill(session, storage, data_dir)
    session.commit()
    out = tmp_path / "person.zip"

    said = app.test_cli_runner().invoke(args=["accounts", "export", EMAIL, "--out", str(out)])

    assert said.exit_code == 0, said.output
    assert out.stat().st_mode & 0o777 == 0o600
    documents, archive = opened(out.read_bytes())
    assert documents["account"][0]["name"] == NAME
    assert documents["account"][0]["has_password"] is True
    assert len(documents["reports"]) == 2
    [first] = [report for report in documents["reports"] if EMAIL in report["description"]]
    assert {word["kind"] for word in first["words"]} == {"addition", "internal"}
    assert archive.read(first["photos"][0]) == b"jpeg of a hole"
    assert len(documents["contacts_in_reports"]) == 3
    assert len(documents["messages"]) == 3
    assert documents["browsers"][0]["endpoint"] == "https://push.example/quatrebarbes"
    text = archive.read("account.json").decode()
    assert "argon2" not in text
    for readme in ("README.txt", "LISEZMOI.txt"):
        explained = archive.read(readme).decode()
        for name in (f"{name}.json" for name in documents):
            assert f"\n{name} " in explained, f"{readme} says nothing of {name}"
    [entry] = stored(session, AuditEntry, action="person.exported")
    assert (entry.actor_kind, entry.data["reports"]) == ("operator", 2)


def test_whoever_left_only_a_number_is_found_by_it(
    app: Flask, session: Session, tmp_path: Path
) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True, email=None, phone=PHONE)
    session.commit()
    out = tmp_path / "a.zip"
    runner = app.test_cli_runner()
    said = runner.invoke(
        args=["accounts", "export", "--phone", "+33 6 98 76 54 32", "--out", str(out)]
    )
    assert said.exit_code == 0, said.output
    documents, _ = opened(out.read_bytes())
    assert len(documents["reports"]) == 1
    again = runner.invoke(args=["accounts", "export", "--phone", PHONE, "--out", str(out)])
    assert again.exit_code == 2
    assert "is there already" in again.output


def test_what_nobody_did_is_not_held_on_those_without_an_account(
    app: Flask, session: Session, tmp_path: Path
) -> None:
    report = new_report(session)
    new_follower(session, report, is_reporter=True, email=None, phone=PHONE)
    append(session, [Entry(report.id, HistoryKind.LOCATED, SYSTEM)], now=NOW)
    add_note(session, report.id, NoteKind.INTERNAL, "?", by=SYSTEM, history_id=None, now=NOW)
    new_team(session, email=None)
    session.add(
        Block(id=new_id(), kind="network", network="192.0.2.0/24", reason="flood", created_at=NOW)
    )
    session.commit()
    out = tmp_path / "a.zip"
    runner = app.test_cli_runner()

    said = runner.invoke(args=["accounts", "export", "--phone", PHONE, "--out", str(out)])

    assert said.exit_code == 0, said.output
    documents, _ = opened(out.read_bytes())
    assert {name for name, rows in documents.items() if rows} == {"reports", "contacts_in_reports"}
    erased = runner.invoke(args=["accounts", "erase", "--phone", PHONE, "--yes"])
    assert erased.exit_code == 0, erased.output
    assert "team" not in erased.output
    assert stored(session, Block, reason="flood")
    nobody = runner.invoke(args=["accounts", "export", "nobody@courriel.example"])
    assert (nobody.exit_code, "Nothing is held" in nobody.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["export"], 2, "Say whom"),
        (["export", "a@b.example", "--phone", "+33698765432"], 2, "Say whom"),
        (["export", "--phone", "12"], 2, "with its country"),
        (["export", "nobody@courriel.example"], 1, "Nothing is held"),
        (["erase"], 2, "Say whom"),
        (["erase", "nobody@courriel.example", "--yes"], 0, "Nothing is held"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    app: Flask, session: Session, arguments: list[str], code: int, words: str
) -> None:
    said = app.test_cli_runner().invoke(args=["accounts", *arguments])
    assert (said.exit_code, words in said.output) == (code, True), said.output


def test_a_dry_run_counts_and_changes_nothing(
    app: Flask, session: Session, storage: Folder, data_dir: Path
) -> None:
    fill(session, storage, data_dir)
    session.commit()
    before = sorted(everything(session))
    runner = app.test_cli_runner()

    said = runner.invoke(args=["accounts", "erase", EMAIL, "--dry-run"])
    refused = runner.invoke(args=["accounts", "erase", EMAIL], input="n\n")

    assert said.exit_code == 0, said.output
    assert "would go" in said.output
    assert "docs/privacy.md" in said.output
    assert refused.exit_code == 1
    session.expire_all()
    assert sorted(everything(session)) == before


# -- one's own ------------------------------------------------------------------------------------


@pytest.fixture
def citizen(session: Session) -> SignedIn:
    return new_citizen(session, email=EMAIL, name=NAME)


def test_somebody_signed_in_takes_what_is_held_on_them(
    client: FlaskClient, session: Session, citizen: SignedIn
) -> None:
    mine, other = new_report(session), new_report(session)
    new_follower(session, mine, is_reporter=True, person_id=citizen.id, email=EMAIL)
    # Somebody else wrote this address into a report of their own account.
    stranger = new_citizen(session)
    new_follower(session, other, is_reporter=True, person_id=stranger.id, email=EMAIL)

    assert client.get("/api/v1/me/export").status_code == 401
    answer = client.get("/api/v1/me/export", headers=citizen.headers)

    assert answer.status_code == 200
    assert answer.content_type == "application/zip"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    documents, _ = opened(answer.get_data())
    answer.close()
    assert [report["id"] for report in documents["reports"]] == [str(mine.id)]
    [entry] = stored(session, AuditEntry, action="person.exported")
    assert entry.actor_id == citizen.id


def test_somebody_signed_in_ends_their_account(
    app: Flask, client: FlaskClient, session: Session, citizen: SignedIn
) -> None:
    mine, me = new_report(session), citizen.id
    new_follower(session, mine, is_reporter=True, person_id=citizen.id, email=EMAIL)
    token = token_for(app.config["SECRET_KEY"], Purpose.TRACK, mine.id, 1)

    assert client.delete("/api/v1/me").status_code == 401
    assert client.delete("/api/v1/me", headers=citizen.headers).status_code == 204

    # Closed at once, for whoever is signed in and for whoever has a link; erased behind it.
    assert client.get("/api/v1/me", headers=citizen.headers).status_code == 401
    assert not session.get_one(Person, me).is_active
    [event] = stored(session, OutboxEvent, name="account.closed")
    assert (event.subject_id, event.data) == (me, {})
    assert run_pipeline(app) == 1
    with app.app_context():
        assert not pipeline.erase_person(me)

    assert client.get(f"/api/v1/reports/{mine.id}").status_code == 200
    with_link = client.get(f"/api/v1/reports/{mine.id}?token={token}")
    assert with_link.status_code == 404
    assert not stored(session, Person, email=EMAIL)
    assert not [row for row in stored(session, Follower) if row.email == EMAIL]
    [entry] = stored(session, AuditEntry, action="person.erased")
    assert (entry.actor_kind, entry.actor_id) == ("person", me)


def test_a_staff_account_is_not_its_holders_to_end_and_a_key_ends_nothing(
    client: FlaskClient, session: Session
) -> None:
    city: Jurisdiction = new_jurisdiction(session)
    agent = new_staff(session, city)
    answer = client.delete("/api/v1/me", headers=agent.headers)
    assert (answer.status_code, answer.json["code"]) == (409, "staff_account")
    person = new_person(session)
    grant(session, person, Role.CITIZEN, city)
    token = sign_in(session, person)
    assert (
        client.delete("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 204
    )


# -- without use ----------------------------------------------------------------------------------


def test_old_traces_go_by_themselves(
    app: Flask, session: Session, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    from workers import sweeper
    from workers.retaining import FORGOTTEN

    long_ago = NOW - timedelta(days=400)
    idle = new_person(session, created_at=long_ago)
    active = new_citizen(session, created_at=long_ago)
    reporter = new_person(session, created_at=long_ago)
    report = new_report(session)
    new_follower(session, report, is_reporter=True, person_id=reporter.id)
    staff = new_person(session, created_at=long_ago)
    grant(session, staff, Role.AGENT, session.get_one(Jurisdiction, report.jurisdiction_id))
    event = OutboxEvent(name="report.submitted", subject_id=report.id)
    session.add(event)
    session.flush()
    letter = DeadLetter(event_id=event.id, reaction="a", error="KeyError", failed_at=long_ago)
    session.add(letter)
    kept: dict[str, UUID] = {}
    for number, (state, at) in enumerate(
        (("sent", long_ago), ("pending", long_ago), ("sent", NOW)), start=1
    ):
        row = Delivery(
            event_id=number, event="received", jurisdiction_id=1, recipient_kind="follower",
            recipient_id="x", channel="email", locale="fr", data={}, state=state,
            created_at=at, next_attempt_at=NOW,
        )  # fmt: skip
        session.add(row)
        session.flush()
        kept[f"{state} {at == NOW}"] = row.id
    outbox = data_dir / "outbox"
    outbox.mkdir(exist_ok=True)
    old, fresh = outbox / "old.txt", outbox / "fresh.txt"
    for path in (old, fresh):
        path.write_text("To: somebody", encoding="utf-8")
    os.utime(old, (long_ago.timestamp(), long_ago.timestamp()))
    idle_id, used = idle.id, {active.id, reporter.id, staff.id}
    session.commit()

    with app.app_context():
        sweeper.clean_traces()

    people = {person.id for person in stored(session, Person)}
    assert idle_id not in people
    assert used <= people
    assert [row.error for row in stored(session, DeadLetter)] == [FORGOTTEN]
    assert {row.id for row in stored(session, Delivery)} == {
        kept["pending False"],
        kept["sent True"],
    }
    assert not old.exists()
    assert fresh.exists()
    fresh.unlink()


def test_an_unused_block_is_not_an_account_without_use(session: Session) -> None:
    from workers import retaining

    blocked = new_person(session, created_at=NOW - timedelta(days=400))
    session.add(Block(kind="person", person_id=blocked.id, reason="spam", created_at=NOW))
    session.flush()
    assert retaining.forget_accounts(session, now=NOW) == 0


def test_a_whole_story_leaves_nothing_of_its_people_in_the_logs(
    committed_db: Flask, data_dir: Path, pytestconfig: pytest.Config
) -> None:
    """From the report to its erasure, with every kind of wrong call between."""
    # Loggers keep the stream of their first line, so the run's own capture has what they wrote.
    captured = pytestconfig.pluginmanager.get_plugin("capturemanager")
    assert captured is not None
    captured.read_global_capture()
    client = committed_db.test_client()
    with committed_db.app_context():
        with transaction() as session:
            city = new_jurisdiction(session, code="montpellier")
            service = new_service(session, city, code="trou")
            agent = new_staff(session, city)
            headers, code = agent.headers, service.code
        client.get("/api/v1/services")
    sent = {
        "service_code": code,
        "lat": 43.6086,
        "lon": 3.8797,
        "description": f"Chez {NAME}, {EMAIL}, 06 98 76 54 32",
        "contact": {"email": EMAIL, "phone": PHONE, "name": NAME},
    }
    made = client.post("/api/v1/reports", json=sent)
    assert made.status_code == 201, made.json
    report_id = made.json["id"]
    token = {"X-Tracking-Token": made.json["tracking_token"]}
    path = f"/api/v1/reports/{report_id}"
    photo = (io.BytesIO(photo_bytes()), f"{NAME}.jpg")
    bad = (io.BytesIO(b"not a photo"), f"{EMAIL}.jpg")
    answers = [
        client.post("/api/v1/reports", json={**sent, "contact": {"email": f"{EMAIL} oops"}}),
        client.post("/api/v1/reports", json={**sent, "contact": {"phone": f"{PHONE}99999999"}}),
        client.post("/api/v1/reports", json={**sent, NAME: 1}),
        client.post(f"{path}/additions", headers=token, data={"text": NAME, "photos": photo}),
        client.post(f"{path}/additions", headers=token, data={"photos": bad}),
        client.post(f"{path}/followers", json={"email": f"x{EMAIL}", "name": NAME}),
        client.post("/api/v1/sessions", json={"email": EMAIL, "password": f"{NAME} 1234"}),
        client.post("/api/v1/sessions/link", json={"email": EMAIL}),
        client.get(f"/api/v1/reports?q={NAME}", headers=headers),
        client.get(path, headers=headers),
        client.get(f"/api/v1/{EMAIL}"),
        client.get(f"/report/{EMAIL}/1"),
        client.post(f"{path}/comments", headers=headers, json={"note": f"Appelé {NAME} {PHONE}"}),
        client.post(f"{path}/redactions", headers=token, json={"part": "note", "key": EMAIL}),
        client.post(f"{path}/redactions", headers=token, json={"part": "description"}),
    ]
    assert all(answer.status_code < 500 for answer in answers)
    run_pipeline(committed_db)
    runner = committed_db.test_cli_runner()
    said = runner.invoke(args=["accounts", "erase", EMAIL, "--yes"])
    assert said.exit_code == 0, said.output

    lines = "".join(captured.read_global_capture()).lower()
    assert "request.answered" in lines
    assert [spelling for spelling in SPELLINGS if spelling in lines] == []


def test_whoever_finds_an_open_session_does_not_end_the_account(
    client: FlaskClient, session: Session
) -> None:
    person = new_person(session, password_hash=passwords.hashed("correct horse battery staple"))
    headers = {"Authorization": f"Bearer {sign_in(session, person, way='password')}"}
    for sent, code in (
        ({}, "fresh_proof_needed"),
        ({"password": "something else"}, "wrong_password"),
    ):
        answer = client.delete("/api/v1/me", json=sent, headers=headers)
        assert answer.json["code"] == code
    assert person.is_active
    right = {"password": "correct horse battery staple"}
    assert client.delete("/api/v1/me", json=right, headers=headers).status_code == 204
    assert not person.is_active
