"""The whole pipeline of one Riverain, handing reports to a second one in a process of its own.

Between the two lies a line that may lose what the second one answers.
"""

from __future__ import annotations

import functools
import http.client
import io
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests
import sqlalchemy as sa
from click.testing import Result
from flask import Flask
from PIL import Image
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from accounts import keys
from accounts.rules import Role
from core.clock import utc_now
from core.db import db, transaction
from geo import jurisdictions
from geo.measures import destination
from open311.client import Remote
from open311.downstream import EndpointSpec, endpoints, load_endpoints, webhook_secret
from open311.downstream_models import DownstreamEndpoint, Forwarding
from reports import events, media
from reports.history import Author
from reports.loading import load_routing_rules
from reports.models import Note, Service, ServiceRequest
from reports.routing.grammar import parse
from reports.vocabulary import ActorKind, NoteKind, Source, Status
from tests.conftest import SECRET_KEY, new_database
from tests.factories import (
    COMEDIE,
    new_follower,
    new_jurisdiction,
    new_person,
    new_report,
    new_service,
    new_staff,
    new_team,
)
from tests.open311.album import jpeg
from tests.open311.foreign import running
from tests.workers.driving import happened
from workers import downstreaming, pipeline

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Second:
    """The Riverain that reports are handed to."""

    port: int
    engine: sa.Engine
    key: str
    agent: dict[str, str]
    process: subprocess.Popen[str]
    base: str = field(init=False)

    def __post_init__(self) -> None:
        self.base = f"http://127.0.0.1:{self.port}"

    def run(self) -> None:
        """Let its pipeline work off what waits."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def stored(self) -> Sequence[Any]:
        with Session(self.engine) as session:
            return session.execute(
                sa.select(
                    ServiceRequest.id, ServiceRequest.description, ServiceRequest.source
                ).order_by(ServiceRequest.requested_at)
            ).all()

    def move(self, report_id: str, status: str, words: str) -> None:
        answer = requests.post(
            f"{self.base}/api/v1/reports/{report_id}/status",
            json={"status": status, "public_note": words},
            headers=self.agent,
            timeout=10,
        )
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def lasting_second(
    postgres: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Second]:
    """It takes seconds to start: once for all tests here."""
    with new_database(
        postgres, f"riverain_second_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    ) as url:
        engine = sa.create_engine(url)
        with Session(engine) as session:
            city = new_jurisdiction(session, code="metropole")
            new_service(session, city, code="L-01")
            new_service(session, city, code="L-02", kind="batch")
            caller = new_person(session)
            key = keys.create_key(session, caller.email or "", "ville", now=utc_now())
            agent = new_staff(session, city, Role.MANAGER).headers
            session.commit()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.open311.second_riverain",
                str(tmp_path_factory.mktemp("second")),
                url,
                redis_url,
                SECRET_KEY,
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            port = int(process.stdout.readline())
            yield Second(port, engine, key, agent, process)
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            engine.dispose()


@pytest.fixture
def second(lasting_second: Second) -> Second:
    """With its city and nothing that was reported there."""
    with lasting_second.engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE service_requests, outbox_events CASCADE"))
    return lasting_second


@pytest.fixture
def lossy(second: Second) -> Iterator[str]:
    """A line to it that loses each second answer to a POST: cut off, late, or a gateway's page."""
    losses = itertools.cycle(["", "cut", "", "late", "", "502"])

    class Line(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._pass_on(None, "")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._pass_on(body, next(losses))

        def _pass_on(self, body: bytes | None, loss: str) -> None:
            line = http.client.HTTPConnection("127.0.0.1", second.port, timeout=20)
            kept = {
                name: value
                for name, value in self.headers.items()
                # The second one is to know nothing of repetitions.
                if name.lower() not in ("host", "idempotency-key", "content-length", "connection")
            }
            line.request(self.command, self.path, body, kept)
            answer = line.getresponse()
            content = answer.read()
            line.close()
            if loss == "cut":
                self.close_connection = True
                return
            if loss == "late":
                threading.Event().wait(2)
            status = 502 if loss == "502" else answer.status
            content = b"<html>Bad Gateway</html>" if loss == "502" else content
            self.send_response(status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "text/html"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_args: object) -> None:
            """Whoever hung up first is no news."""

    server = Server(("127.0.0.1", 0), Line)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@dataclass(slots=True)
class First:
    """The Riverain whose team lives in the other one."""

    app: Flask
    city_id: int
    service_id: int

    def submit(self, *descriptions: str) -> list[UUID]:
        """Reports that have just come in and wait for the pipeline."""
        with self.app.app_context(), transaction() as session:
            service = session.get(Service, self.service_id)
            # Too far apart to be taken for one, near enough to be taken for one another.
            made = [
                new_report(
                    session,
                    service,
                    at=destination(COMEDIE, 90, 3 * number),
                    description=words,
                    located_at=None,
                    search=None,
                )
                for number, words in enumerate(descriptions)
            ]
            for report in made:
                new_follower(session, report, is_reporter=True)
            happened(session, events.SUBMITTED, *made)
            return [report.id for report in made]

    def run(self) -> None:
        with self.app.app_context():
            pipeline.drain()

    def forwardings(self) -> Sequence[Forwarding]:
        with self.app.app_context(), transaction() as session:
            rows = session.scalars(sa.select(Forwarding).order_by(Forwarding.created_at)).all()
            session.expunge_all()
            return rows

    def report(self, report_id: UUID) -> ServiceRequest:
        with self.app.app_context(), transaction() as session:
            found = session.get_one(ServiceRequest, report_id)
            session.expunge_all()
            return found

    def words(self, report_id: UUID, kind: NoteKind) -> list[str]:
        with self.app.app_context(), transaction() as session:
            return list(
                session.scalars(
                    sa.select(Note.body)
                    .where(Note.report_id == report_id, Note.kind == kind.value)
                    .order_by(Note.created_at)
                )
            )


@pytest.fixture
def settled(
    committed_db: Flask, new_app: Callable[..., Flask], second: Second
) -> Iterator[Callable[..., First]]:
    def settle(url: str, *, public_url: str | None = None, **spec: Any) -> First:
        app = new_app(
            open311_keys=f"metropole={second.key} other=x",
            outgoing_allow="127.0.0.1",
            public_url=public_url,
        )
        jurisdictions.forget()
        with app.app_context(), transaction() as session:
            city = new_jurisdiction(session, code="ville")
            new_team(session, city, code="eclairage")
            service = new_service(session, city, code="lampe", duplicate_radius_m=0.01)
            load_routing_rules(session, city.id, parse("otherwise team eclairage\n"))
            load_endpoints(
                session,
                city.id,
                [EndpointSpec(code="metropole", url=url, key="metropole", **spec)],
                {"eclairage": "metropole"},
            )
            made = First(app, city.id, service.id)
        with app.app_context():
            db.session.remove()
        return made

    yield settle
    jurisdictions.forget()


def test_a_report_goes_over_and_what_becomes_of_it_comes_back(
    settled: Callable[..., First], second: Second
) -> None:
    first = settled(
        f"{second.base}/open311/v2",
        jurisdiction_id="metropole",
        default_service="L-01",
        updates=True,
        extensions=True,
    )
    [report_id] = first.submit("Un lampadaire éteint\ndevant l’école.")
    first.run()
    [stored] = second.stored()
    assert (stored.description, stored.source) == (
        "Un lampadaire éteint\ndevant l’école.",
        Source.OPEN311.value,
    )
    [row] = first.forwardings()
    assert (row.state, row.remote_id) == ("sent", str(stored.id))

    # They speak in whole seconds: what happens within our own is nobody's news.
    time.sleep(1.1)
    second.move(str(stored.id), "in_progress", "Une équipe est en route.")
    with first.app.app_context():
        assert downstreaming.poll() == {"endpoints": 1, "moved": 1}
    assert first.report(report_id).status == Status.IN_PROGRESS
    second.move(str(stored.id), "resolved", "L’ampoule est changée.")
    with first.app.app_context():
        # Not due yet.
        assert downstreaming.poll()["endpoints"] == 0
        with transaction() as session:
            session.execute(sa.update(DownstreamEndpoint).values(next_poll_at=None))
        assert downstreaming.poll()["moved"] == 1
    assert first.report(report_id).status == Status.RESOLVED
    assert first.words(report_id, NoteKind.PUBLIC) == [
        "Une équipe est en route.",
        "L’ampoule est changée.",
    ]
    first.run()
    outbox = Path(first.app.extensions["settings"].data_dir) / "outbox"
    assert any("L’ampoule est changée." in letter.read_text() for letter in outbox.iterdir())


@pytest.fixture
def door() -> Iterator[list[Any]]:
    """Serves the first Riverain, once there is one: its address, and then the application."""
    door: list[Any] = []
    server = make_server("127.0.0.1", 0, lambda environ, start: door[1](environ, start))
    door.append(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield door
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_photo_goes_over_by_its_address(
    settled: Callable[..., First], second: Second, door: list[Any]
) -> None:
    first = settled(
        f"{second.base}/open311/v2",
        public_url=door[0],
        jurisdiction_id="metropole",
        default_service="L-01",
    )
    door.append(first.app)
    [report_id] = first.submit("Un lampadaire éteint devant l’école.")
    staged = media.stage(
        first.app.extensions["storage"], media.check_photos([io.BytesIO(jpeg("teal"))])
    )
    with first.app.app_context(), transaction() as session:
        report = session.get_one(ServiceRequest, report_id)
        media.insert_staged(
            session,
            report_id,
            staged,
            by=Author(ActorKind.REPORTER),
            jurisdiction_id=report.jurisdiction_id,
            now=utc_now(),
        )
    first.run()
    if not second.stored():
        # It waited until the photo was clean.
        with first.app.app_context():
            with transaction() as session:
                session.execute(sa.update(Forwarding).values(next_attempt_at=utc_now()))
            downstreaming.hand_over_due()
    second.run()
    [stored] = second.stored()
    shown = requests.get(f"{second.base}/open311/v2/requests/{stored.id}.json", timeout=10).json()
    photo = requests.get(f"{second.base}/{shown[0]['media_url'].split('/', 3)[3]}", timeout=10)
    assert (photo.status_code, photo.headers["Content-Type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(photo.content)) as image:
        red, green, blue = image.convert("RGB").getpixel((32, 24))  # type: ignore[misc]
    assert (red < 20, green > 100, blue > 100) == (True, True, True)


def test_over_a_line_that_loses_answers_nothing_is_lost_and_nothing_doubled(
    settled: Callable[..., First],
    second: Second,
    lossy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = settled(f"{lossy}/open311/v2", default_service="L-01", settle_minutes=1)
    monkeypatch.setattr(
        "workers.downstreaming.Remote",
        functools.partial(Remote, timeout_s=1.0, reading_timeout_s=5.0),
    )
    words = [f"La lampe numéro {number} est éteinte." for number in range(12)]
    # Half of them say the same of the same place.
    words += ["Lampe éteinte."] * 6
    first.submit(*words)
    first.run()
    present = utc_now()
    for minute in range(40):
        shifted = present + timedelta(seconds=20 * minute)
        monkeypatch.setattr("workers.downstreaming.utc_now", lambda now=shifted: now)
        with first.app.app_context():
            downstreaming.hand_over_due()
        if all(row.state == "sent" for row in first.forwardings()):
            break
    assert sorted(row.description for row in second.stored()) == sorted(words)
    rows = first.forwardings()
    assert {row.state for row in rows} == {"sent"}
    assert sorted(str(row.remote_id) for row in rows) == sorted(
        str(stored.id) for stored in second.stored()
    )


def test_several_workers_at_once_send_each_report_once(settled: Callable[..., First]) -> None:
    with running() as foreign:
        first = settled(foreign.url)
        words = [f"La lampe numéro {number} est éteinte." for number in range(24)]
        first.submit(*words)
        first.run()
        # All that was sent is to be sent again, by several who begin at one time.
        foreign.requests.clear()
        with first.app.app_context(), transaction() as session:
            session.execute(
                sa.update(Forwarding).values(
                    state="waiting", remote_id=None, sent_at=None, next_attempt_at=utc_now()
                )
            )

        def work() -> None:
            with first.app.app_context():
                downstreaming.hand_over_due()
                db.session.remove()

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sorted(foreign.stored()) == sorted(words)
        assert {row.state for row in first.forwardings()} == {"sent"}


def test_a_batch_service_answers_a_token_first(
    settled: Callable[..., First], second: Second
) -> None:
    first = settled(f"{second.base}/open311/v2", default_service="L-02", format="xml")
    first.submit("Un lampadaire éteint.")
    first.run()
    [row] = first.forwardings()
    assert row.token is not None
    with first.app.app_context():
        with transaction() as session:
            session.execute(sa.update(Forwarding).values(next_attempt_at=utc_now()))
        downstreaming.hand_over_due()
    [row] = first.forwardings()
    assert (row.token, row.remote_id) == (None, str(second.stored()[0].id))


def test_a_refusal_of_the_second_is_read_in_the_first(
    settled: Callable[..., First], second: Second
) -> None:
    first = settled(f"{second.base}/open311/v2")
    [report_id] = first.submit("Un lampadaire éteint.")
    first.run()
    [note] = first.words(report_id, NoteKind.INTERNAL)
    assert "http 404" in note
    assert "service_code" in note
    assert second.stored() == []
    runner = first.app.test_cli_runner()
    shown = runner.invoke(args=["open311", "status"])
    assert "1 stuck" in shown.output
    assert f"ville {first.report(report_id).number}: ville.metropole, http 404" in shown.output
    measured = first.app.test_client().get("/metrics").text
    assert 'riverain_forwardings{endpoint="ville.metropole",state="stuck"} 1.0' in measured
    assert _output(runner.invoke(args=["open311", "retry"])) == "handed over again: 1"


def test_the_operator_is_told_what_an_endpoint_supports(
    settled: Callable[..., First], second: Second
) -> None:
    first = settled(f"{second.base}/open311/v2", default_service="L-01")
    first.submit("Une lampe.", "Une autre lampe.")
    first.run()
    runner = first.app.test_cli_runner()
    shown = runner.invoke(args=["open311", "check", f"{second.base}/open311/v2/services.json"])
    assert shown.exit_code == 0, shown.output
    said = {line[5:33].strip(): line[:3].strip() for line in shown.output.splitlines()}
    for what in (
        "discovery",
        "services in JSON",
        "services in XML",
        "requests of 30 days in JSON",
        "requests of 30 days in XML",
        "updated_datetime",
        "service_request_id=1,2",
        "requests/{id}",
        "updated_after",
        "extensions=true",
        "errors",
        "servicerequestupdates",
    ):
        assert said[what] == "yes", shown.output
    assert f"url: {second.base}/open311/v2\n" in shown.output
    assert "updates: true" in shown.output
    # Nothing was posted.
    assert len(second.stored()) == 2

    secret = runner.invoke(args=["open311", "webhook", "ville.metropole"])
    with first.app.app_context(), transaction() as session:
        [endpoint] = endpoints(session).values()
    assert _output(secret).splitlines()[-1] == webhook_secret(SECRET_KEY, endpoint)


def _output(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output.strip()
