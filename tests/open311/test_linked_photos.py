"""Photos that come as addresses: which are kept, how they are fetched, what is refused."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.models import OutboxEvent
from core.outgoing import NOTHING_ALLOWED, Allowance
from geo import jurisdictions
from open311 import awaiting, fetching
from open311.models import LinkedPhoto
from reports.media import MAX_BYTES, cleaning
from reports.models import Note, Photo, ServiceRequest
from reports.storage import Folder
from reports.vocabulary import ActorKind, NoteKind, PhotoState, Visibility
from tests.factories import COMEDIE, new_photo, new_report, stored
from tests.open311 import album
from tests.open311.album import Album, Shown, jpeg
from tests.open311.conftest import Open311, Town, read

HERE = {"lat": str(COMEDIE.lat), "long": str(COMEDIE.lon)}
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


def links(session: Session) -> list[str]:
    return [row.url for row in session.scalars(sa.select(LinkedPhoto).order_by(LinkedPhoto.id))]


def link(number: int) -> str:
    return f"https://photos.example/{number}.jpg"


# -- what is kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_the_address_of_a_photo_is_kept_with_the_request(
    open311: Open311, session: Session, suffix: str
) -> None:
    answer = open311.post(
        f"requests.{suffix}", service_code="nid-de-poule", media_url=link(1), **HERE
    )
    assert answer.status_code == 200
    [row] = stored(session, LinkedPhoto)
    assert str(row.report_id) == read(answer)[0]["service_request_id"]
    [event] = session.scalars(sa.select(OutboxEvent).where(OutboxEvent.name == "photo.linked"))
    # Ids and no addresses.
    assert event.data == {"link_ids": [row.id]}


def test_of_several_addresses_as_many_are_kept_as_a_request_takes_photos(
    open311: Open311, session: Session
) -> None:
    open311.file(media_url=[link(1), link(2), link(1), *map(link, range(3, 9))])
    assert links(session) == [link(number) for number in range(1, 6)]


def test_photos_that_came_as_files_take_their_room(open311: Open311, session: Session) -> None:
    files = [(io.BytesIO(jpeg()), f"{number}.jpg") for number in range(4)]
    open311.file(media=files, media_url=[link(1), link(2)])
    assert (len(stored(session, Photo)), links(session)) == (4, [link(1)])


@pytest.mark.parametrize(
    "text",
    [
        "photo.jpg",
        "/photos/1.jpg",
        "ftp://photos.example/1.jpg",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "https://user:secret@photos.example/1.jpg",
        "https://photos.example/a b.jpg",
        "https://photos.example:99999/1.jpg",
        f"https://photos.example/{'x' * 2000}.jpg",
    ],
)
def test_what_is_no_address_is_left_out_and_the_report_is_taken(
    open311: Open311, session: Session, text: str
) -> None:
    open311.file(media_url=text)
    assert links(session) == []


def test_a_request_sent_twice_keeps_its_addresses_once(open311: Open311, session: Session) -> None:
    assert open311.file(media_url=link(1)) == open311.file(media_url=link(1))
    assert links(session) == [link(1)]
    open311.file(media_url=link(2))
    assert links(session) == [link(1), link(2)]


# -- how they are fetched -------------------------------------------------------------------------


@pytest.fixture
def photos() -> Iterator[Album]:
    with album.running() as running:
        yield running


@dataclass(slots=True)
class Fetching:
    """The worker's steps, with a clock that a test moves."""

    session: Session
    report: ServiceRequest
    storage: Folder
    now: datetime = field(default_factory=utc_now)
    allow: Allowance = field(default_factory=lambda: Allowance.parse("127.0.0.1"))
    by: ActorKind = ActorKind.REPORTER

    def keep(self, *urls: str) -> None:
        awaiting.keep(
            self.session,
            self.report.id,
            self.report.jurisdiction_id,
            urls,
            by=self.by,
            now=self.now,
        )

    def step(self) -> Counter[str]:
        wanted = awaiting.claim(self.session, now=self.now)
        with fetching.open_line(self.allow) as line:
            outcomes = fetching.fetch(wanted, line, self.storage)
        return fetching.record(self.session, outcomes, now=self.now, jitter=lambda: 0.5)

    @property
    def photos(self) -> list[Photo]:
        return list(stored(self.session, Photo, report_id=self.report.id))

    @property
    def row(self) -> LinkedPhoto:
        [row] = stored(self.session, LinkedPhoto)
        return row  # type: ignore[no-any-return]

    @property
    def notes(self) -> list[str]:
        found = stored(self.session, Note, report_id=self.report.id, kind=NoteKind.INTERNAL.value)
        return [note.body for note in found]


@pytest.fixture
def worker(session: Session, town: Town, tmp_path: Path) -> Fetching:
    return Fetching(session, new_report(session, town.pothole), Folder(tmp_path))


def test_a_photo_is_fetched_and_cleaned_like_an_uploaded_one(
    worker: Fetching, photos: Album, session: Session, client: FlaskClient
) -> None:
    worker.keep(photos.put("/1.jpg", Shown(body=jpeg())))
    assert worker.step() == {"fetched": 1}
    [photo] = worker.photos
    assert (photo.state, photo.added_by, photo.is_public) == ("staged", "reporter", True)
    assert stored(session, LinkedPhoto) == []
    waiting = cleaning.waiting(session, [photo.id])
    cleaning.record(
        session, [cleaning.clean(worker.storage, each) for each in waiting], now=worker.now
    )
    session.expire_all()
    assert photo.state == PhotoState.READY
    # And is shown.
    shown: Any = client.get(f"/open311/v2/requests/{worker.report.id}.json").json
    assert str(photo.id) in shown[0]["media_url"]
    assert worker.step() == {}


def test_a_teams_photo_is_the_teams(worker: Fetching, photos: Album) -> None:
    worker.by = ActorKind.MACHINE
    worker.keep(photos.put("/1.jpg", Shown(body=jpeg())))
    assert worker.step() == {"fetched": 1}
    [photo] = worker.photos
    assert photo.added_by == "machine"


def test_it_is_followed_to_where_it_moved(worker: Fetching, photos: Album) -> None:
    photos.put("/last.jpg", Shown(body=jpeg()))
    photos.put("/then", Shown(302, headers={"Location": "last.jpg"}))
    worker.keep(photos.put("/first", Shown(301, headers={"Location": f"{photos.url}/then"})))
    assert worker.step() == {"fetched": 1}
    assert photos.asked == ["/first", "/then", "/last.jpg"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x.jpg",
        "http://localhost/x.jpg",
        "http://10.0.0.7/x.jpg",
        "http://192.168.1.1/x.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/x.jpg",
        "http://[::ffff:127.0.0.1]/x.jpg",
        "http://0.0.0.0/x.jpg",
        "http://2130706433/x.jpg",
    ],
)
def test_an_address_in_a_network_of_ours_is_refused_for_good(worker: Fetching, url: str) -> None:
    worker.allow = NOTHING_ALLOWED
    worker.keep(url)
    assert worker.step() == {"refused": 1}
    assert stored(worker.session, LinkedPhoto) == []
    [said] = worker.notes
    assert url in said
    assert "private_address" in said
    assert worker.photos == []


def test_a_redirect_does_not_lead_inside_either(worker: Fetching, photos: Album) -> None:
    worker.keep(photos.put("/1.jpg", Shown(302, headers={"Location": "http://10.0.0.7/x.jpg"})))
    assert worker.step() == {"refused": 1}
    assert "private_address" in worker.notes[0]


def test_it_is_not_led_round_in_circles(worker: Fetching, photos: Album) -> None:
    worker.keep(photos.put("/1.jpg", Shown(302, headers={"Location": "/1.jpg"})))
    assert worker.step() == {"refused": 1}
    assert len(photos.asked) == 4


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (PAGE, "no_photo"),
        (b"", "no_photo"),
        (b"GIF89a" + bytes(100), "no_photo"),
        (jpeg()[:20], "no_photo"),
        (jpeg() + bytes(MAX_BYTES), "too_large"),
    ],
    ids=["page", "empty", "gif", "header", "large"],
)
def test_only_photos_of_a_size_that_is_taken_are_taken(
    worker: Fetching, photos: Album, body: bytes, reason: str
) -> None:
    # What it is called and which type it claims is not asked.
    worker.keep(photos.put("/1.jpg", Shown(body=body, headers={"Content-Type": "image/jpeg"})))
    assert worker.step() == {"refused": 1}
    assert reason in worker.notes[0]
    assert worker.photos == []


def test_a_failing_fetch_is_tried_again_later_and_later(worker: Fetching, photos: Album) -> None:
    worker.keep(
        photos.put("/1.jpg", Shown(500), Shown(404), Shown(body=jpeg()[:50], promised=500),
                   Shown(429, headers={"Retry-After": "900"}), Shown(body=jpeg()))
    )  # fmt: skip
    waits = []
    for _ in range(4):
        assert worker.step() == {"failed": 1}
        assert worker.step() == {}, "not before its time"
        waits.append((worker.row.next_attempt_at - worker.now).total_seconds())
        worker.now = worker.row.next_attempt_at
    assert waits == [30, 60, 120, 900]
    assert worker.step() == {"fetched": 1}
    assert (worker.notes, len(worker.photos)) == ([], 1)


def test_in_the_end_staff_read_which_photo_is_missing(worker: Fetching, photos: Album) -> None:
    worker.keep(photos.put("/1.jpg", Shown(503)))
    begun = worker.now
    for _ in range(fetching.MAX_FAILURES):
        assert worker.notes == []
        worker.now = worker.row.next_attempt_at
        assert worker.step() == {"failed": 1}
    assert stored(worker.session, LinkedPhoto) == []
    [said] = worker.notes
    assert "/1.jpg" in said
    assert "http 503" in said
    assert timedelta(hours=3) < worker.now - begun < timedelta(hours=6)


def test_nobody_at_the_address_is_a_failure_too(worker: Fetching) -> None:
    worker.keep("http://127.0.0.1:1/x.jpg")
    assert worker.step() == {"failed": 1}


def test_what_somebody_has_in_hand_nobody_else_takes_until_the_lease_ends(
    worker: Fetching, photos: Album
) -> None:
    worker.keep(photos.put("/1.jpg", Shown(body=jpeg())))
    taken = awaiting.claim(worker.session, now=worker.now)
    assert worker.step() == {}
    worker.now += awaiting.LEASE
    assert worker.step() == {"fetched": 1}
    # The first one comes back after all.
    with fetching.open_line(worker.allow) as line:
        late = fetching.fetch(taken, line, worker.storage)
    assert fetching.record(worker.session, late, now=worker.now) == {"late": 1}
    assert len(worker.photos) == 1


def test_what_its_turn_did_not_come_for_waits_no_longer(worker: Fetching) -> None:
    worker.keep(link(1))
    wanted = awaiting.claim(worker.session, now=worker.now)
    with fetching.open_line(worker.allow) as line:
        outcomes = fetching.fetch(wanted, line, worker.storage, patience_s=-1)
    assert fetching.record(worker.session, outcomes, now=worker.now) == {"untried": 1}
    assert (worker.row.next_attempt_at, worker.row.failures) == (worker.now, 0)


def test_a_report_that_is_full_takes_no_more(worker: Fetching, photos: Album) -> None:
    for _ in range(20):
        new_photo(worker.session, worker.report)
    worker.keep(photos.put("/1.jpg", Shown(body=jpeg())))
    assert worker.step() == {"refused": 1}
    assert "too_many_photos" in worker.notes[0]


def test_where_everything_is_read_first_a_late_photo_is_too(
    worker: Fetching, photos: Album, town: Town
) -> None:
    """Staff published the words while the photo was still on its way."""
    town.pothole.moderation = "before_publication"
    worker.session.flush()
    jurisdictions.forget()
    worker.keep(photos.put("/1.jpg", Shown(body=jpeg())))
    assert worker.report.visibility == Visibility.PUBLIC
    assert worker.step() == {"fetched": 1}
    worker.session.expire_all()
    assert worker.report.visibility == Visibility.HELD


def test_a_report_waits_for_its_photo_before_it_is_forwarded(session: Session) -> None:
    from tests.open311 import foreign
    from tests.open311.handing import settle

    with foreign.running() as other:
        handing = settle(session, other)
        report = handing.report(requested_at=handing.now)
        awaiting.keep(
            session,
            report.id,
            report.jurisdiction_id,
            [link(1)],
            by=ActorKind.REPORTER,
            now=handing.now,
        )
        handing.queue(report)
        assert handing.claim() == []
        session.execute(sa.delete(LinkedPhoto))
        handing.later(seconds=30)
        [job] = handing.claim()
        assert job.report_id == UUID(str(report.id))
