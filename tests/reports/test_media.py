"""Photos: what is taken, what becomes of it, who sees it. Real files, a real folder, a real S3."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from PIL import ExifTags, Image, ImageCms, ImageDraw, PngImagePlugin
from sqlalchemy.orm import Session

from core.errors import InvalidError, NotFoundError
from core.models import OutboxEvent
from reports import media
from reports.history import Author
from reports.media import cleaning
from reports.media.checking import heic_dimensions, media_type_of
from reports.models import HistoryEntry, Photo, ServiceRequest
from reports.storage import Folder, MissingFileError, Storage, StorageAwayError, open_storage
from reports.vocabulary import ActorKind
from tests.factories import new_report, stored

NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)
REPORTER = Author(ActorKind.REPORTER)


@pytest.fixture
def storage(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "media")


def picture(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """Red, but for a green top-left quarter."""
    image = Image.new("RGB", (width, height), (200, 20, 20))
    ImageDraw.Draw(image).rectangle((0, 0, width // 2, height // 2), fill=(20, 180, 20))
    return image.convert(mode)


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def with_exif(orientation: int = 6, lat: float = 43.6086, lon: float = 3.8797) -> bytes:
    """A JPEG as a phone writes it: turned, with position, maker, comment, thumbnail of XMP."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Telephone de Camille"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef] = "N" if lat >= 0 else "S"
    gps[ExifTags.GPS.GPSLatitude] = (abs(lat), 0.0, 0.0)
    gps[ExifTags.GPS.GPSLongitudeRef] = "E" if lon >= 0 else "W"
    gps[ExifTags.GPS.GPSLongitude] = (abs(lon), 0.0, 0.0)
    return encoded(
        picture(),
        exif=exif,
        comment=b"chez Camille",
        xmp=b"<x:xmpmeta>secret place</x:xmpmeta>",
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    )


def heic(width: int = 64, height: int = 48) -> bytes:
    import pillow_heif

    content = io.BytesIO()
    pillow_heif.from_pillow(picture(width, height)).save(content, quality=80)
    return content.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A few kilobytes that say they are that large: a decompression bomb."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """A PNG whose comment unpacks to 20 MB."""
    info = PngImagePlugin.PngInfo()
    info.add(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 20_000_000, 9), after_idat=True)
    return encoded(picture(), "PNG", pnginfo=info)


def check(*contents: bytes) -> list[media.CheckedPhoto]:
    return media.check_photos([io.BytesIO(content) for content in contents])


def put_in(
    session: Session, storage: Storage, report: ServiceRequest, *contents: bytes
) -> list[UUID]:
    """What the request does with files, the check left out where a test wants it left out."""
    staged = media.stage(storage, check(*contents))
    return media.insert_staged(
        session, report.id, staged, by=REPORTER, jurisdiction_id=report.jurisdiction_id, now=NOW
    )


def run(session: Session, storage: Storage, ids: Sequence[UUID]) -> None:
    """What the task does, step by step."""
    outcomes = [cleaning.clean(storage, photo) for photo in cleaning.waiting(session, ids)]
    cleaning.record(session, outcomes, now=NOW)
    cleaning.discard(storage, outcomes)


def shown(session: Session, storage: Storage, photo_id: UUID, size: media.Size) -> bytes:
    return storage.get(media.find_shown(session, photo_id, size).key)


# -- in the request -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (encoded(picture(640, 480)), "image/jpeg"),
        (encoded(picture(640, 480), "PNG"), "image/png"),
        (encoded(picture(640, 480), "WEBP"), "image/webp"),
        (heic(640, 480), "image/heic"),
    ],
    ids=["jpeg", "png", "webp", "heic"],
)
def test_a_photo_is_known_by_its_header(content: bytes, media_type: str) -> None:
    (photo,) = check(content)

    assert (photo.media_type, photo.width, photo.height) == (media_type, 640, 480)
    assert photo.size_bytes == len(content)
    assert photo.stream.read() == content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "not a JPEG"),
        (b"<!doctype html><script>alert(1)</script>" + b" " * 100, "not a JPEG"),
        (encoded(picture(), "GIF"), "not a JPEG"),
        (encoded(picture(), "AVIF"), "not a JPEG"),
        (b"%PDF-1.7" + b"\0" * 100, "not a JPEG"),
        (b"\xff\xd8\xff\xe0 and then nothing of a JPEG", "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "damaged"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "damaged"),
        (heic()[:200], "damaged"),
        (huge_png(60_000, 60_000), "40 million"),
        (huge_png(8_000, 5_001), "40 million"),
        (text_bomb(), "damaged"),
    ],
)
def test_what_is_no_photo_is_refused_by_name_of_the_field(content: bytes, said: str) -> None:
    with pytest.raises(InvalidError, match=said) as refused:
        check(encoded(picture()), content)

    assert refused.value.field == "photos.1"
    assert refused.value.status == 422


def test_a_photo_of_more_than_10_mb_is_too_large() -> None:
    with pytest.raises(media.TooLargeError) as refused:
        check(encoded(picture()) + b"\0" * media.MAX_BYTES)

    assert (refused.value.status, refused.value.field) == (413, "photos.0")


def test_a_report_takes_five_photos_counting_those_it_has() -> None:
    one = encoded(picture())
    assert len(check(*[one] * 5)) == 5
    with pytest.raises(InvalidError, match="at most 5"):
        check(*[one] * 6)
    with pytest.raises(InvalidError, match="at most 5"):
        media.check_photos([io.BytesIO(one)], already=5)


def test_the_size_of_a_tiled_heic_is_that_of_the_whole() -> None:
    assert heic_dimensions(heic(1300, 700)) == (1300, 700)


def test_boxes_that_lie_about_their_length_end_the_search() -> None:
    sample = bytearray(heic())
    at = sample.index(b"ipco") - 4
    sample[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(ValueError, match="no image"):
        heic_dimensions(bytes(sample))
    assert media_type_of(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 16) is None


# -- in the task ----------------------------------------------------------------------------------


def test_a_photo_is_cleaned_turned_and_stored_in_two_sizes(
    session: Session, storage: Folder
) -> None:
    report = new_report(session)
    (photo_id,) = put_in(session, storage, report, with_exif(orientation=6))
    with pytest.raises(NotFoundError):
        media.find_shown(session, photo_id, media.Size.FULL)

    run(session, storage, [photo_id])

    content = shown(session, storage, photo_id, media.Size.FULL)
    for trace in (b"Exif", b"Camille", b"xmpmeta", b"ICC_PROFILE", b"GPS"):
        assert trace not in content
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.size, dict(image.getexif())) == ("JPEG", (48, 64), {})
    # Turned by a quarter: what was top-left is now top-right.
    right, green, _ = image.getpixel((40, 10))  # type: ignore[misc]
    assert green > right
    photo = session.get_one(Photo, photo_id, populate_existing=True)
    assert (photo.state, photo.media_type, photo.width, photo.height) == (
        "ready",
        "image/jpeg",
        48,
        64,
    )
    assert photo.size_bytes == len(content)
    assert (photo.gps_lat, photo.gps_lon) == pytest.approx((43.6086, 3.8797))
    assert photo.processed_at == NOW


def test_a_large_photo_is_made_smaller(session: Session, storage: Folder) -> None:
    report = new_report(session)
    (photo_id,) = put_in(session, storage, report, encoded(picture(6000, 3000)))

    run(session, storage, [photo_id])

    full = Image.open(io.BytesIO(shown(session, storage, photo_id, media.Size.FULL)))
    thumb = Image.open(io.BytesIO(shown(session, storage, photo_id, media.Size.THUMB)))
    assert full.size == (2560, 1280)
    assert thumb.size == (400, 200)
    photo = session.get_one(Photo, photo_id, populate_existing=True)
    assert (photo.width, photo.height) == (2560, 1280)


def sixteen_bits() -> bytes:
    image = Image.new("I;16", (64, 48), 40_000)
    return encoded(image, "PNG")


def transparent() -> bytes:
    return encoded(Image.new("RGBA", (64, 48), (0, 0, 0, 0)), "PNG")


def palette_with_transparency() -> bytes:
    return encoded(Image.new("P", (64, 48), 0), "PNG", transparency=0)


def animated(form: str) -> bytes:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100)


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (encoded(Image.new("CMYK", (64, 48), (0, 255, 255, 0))), (255, 0, 0)),
        (sixteen_bits(), (156, 156, 156)),
        (transparent(), (255, 255, 255)),
        (palette_with_transparency(), (255, 255, 255)),
        (encoded(Image.new("L", (64, 48), 90)), (90, 90, 90)),
        (encoded(Image.new("LA", (64, 48), (0, 0)), "PNG"), (255, 255, 255)),
        (encoded(Image.new("1", (64, 48), 1), "PNG"), (255, 255, 255)),
        (animated("WEBP"), (255, 0, 0)),
        (animated("PNG"), (255, 0, 0)),
        (heic(), (200, 20, 20)),
        (encoded(picture(), icc_profile=b"no profile at all"), (200, 20, 20)),
    ],
    ids=[
        "cmyk", "16 bits", "alpha", "palette", "grey", "grey alpha", "bits", "animated webp",
        "apng", "heic", "broken profile",
    ],
)  # fmt: skip
def test_every_kind_of_pixel_becomes_plain_colour(
    session: Session, storage: Folder, content: bytes, colour: tuple[int, int, int]
) -> None:
    report = new_report(session)
    (photo_id,) = put_in(session, storage, report, content)

    run(session, storage, [photo_id])

    image = Image.open(io.BytesIO(shown(session, storage, photo_id, media.Size.FULL)))
    assert (image.mode, image.size) == ("RGB", (64, 48))
    found = image.getpixel((60, 44))
    assert isinstance(found, tuple)
    assert all(abs(a - b) <= 8 for a, b in zip(found, colour, strict=True)), found


def cut_jpeg() -> bytes:
    whole = encoded(picture(640, 480), quality=95)
    return whole[: len(whole) // 2]


@pytest.mark.parametrize(
    "content", [cut_jpeg(), heic(640, 480)[:-200], huge_png(6000, 6000)],
    ids=["cut jpeg", "cut heic", "too few rows"],
)  # fmt: skip
def test_a_photo_that_cannot_be_decoded_is_dropped_and_its_reporter_told(
    session: Session, storage: Folder, content: bytes
) -> None:
    report = new_report(session)
    version = report.version
    good, bad = put_in(session, storage, report, encoded(picture()), content)

    run(session, storage, [good, bad])

    states = {photo.id: photo.state for photo in stored(session, Photo, report_id=report.id)}
    assert states == {good: "ready", bad: "dropped"}
    assert session.get_one(Photo, bad).dropped_because == "undecodable"
    (event,) = stored(session, OutboxEvent, name="photo.dropped")
    assert (event.subject_id, event.data["photo_id"]) == (report.id, str(bad))
    kinds = [entry.kind for entry in stored(session, HistoryEntry, report_id=report.id)]
    assert kinds[-2:] == ["photo_added", "photo_dropped"]
    session.refresh(report)
    assert report.version == version + 1


def test_every_step_may_run_twice(session: Session, storage: Folder) -> None:
    report = new_report(session)
    ids = put_in(session, storage, report, encoded(picture()), cut_jpeg())
    waiting = cleaning.waiting(session, ids)

    first = [cleaning.clean(storage, photo) for photo in waiting]
    again = [cleaning.clean(storage, photo) for photo in waiting]
    cleaning.record(session, first, now=NOW)
    cleaning.discard(storage, first)
    late = [cleaning.clean(storage, photo) for photo in waiting]
    for outcomes in (again, late):
        cleaning.record(session, outcomes, now=NOW + timedelta(hours=1))
        cleaning.discard(storage, outcomes)

    photos = stored(session, Photo, report_id=report.id)
    assert [(photo.state, photo.processed_at) for photo in photos] == [
        ("ready", NOW),
        ("dropped", NOW),
    ]
    assert len(stored(session, OutboxEvent, name="photo.dropped")) == 1
    assert cleaning.waiting(session, ids) == []
    assert shown(session, storage, ids[0], media.Size.FULL)


def test_a_staged_photo_that_was_lost_is_dropped(session: Session, storage: Folder) -> None:
    report = new_report(session)
    ids = put_in(session, storage, report, encoded(picture()))
    media.forget(storage, [photo.name for photo in cleaning.waiting(session, ids)])

    run(session, storage, ids)

    assert session.get_one(Photo, ids[0]).dropped_because == "lost"


@pytest.mark.parametrize(("lat", "lon"), [(0.0, 0.0), (95.0, 3.0), (43.0, 181.0)])
def test_a_position_that_cannot_be_is_no_position(
    session: Session, storage: Folder, lat: float, lon: float
) -> None:
    report = new_report(session)
    (photo_id,) = put_in(session, storage, report, with_exif(lat=lat, lon=lon))

    run(session, storage, [photo_id])

    photo = session.get_one(Photo, photo_id, populate_existing=True)
    assert (photo.state, photo.gps_lat, photo.gps_lon) == ("ready", None, None)


def test_west_and_south_are_negative(session: Session, storage: Folder) -> None:
    report = new_report(session)
    (photo_id,) = put_in(session, storage, report, with_exif(lat=-33.87, lon=-71.06))

    run(session, storage, [photo_id])

    photo = session.get_one(Photo, photo_id, populate_existing=True)
    assert (photo.gps_lat, photo.gps_lon) == pytest.approx((-33.87, -71.06))


def test_staging_tells_the_pipeline_once_per_photo(session: Session, storage: Folder) -> None:
    report = new_report(session)
    ids = put_in(session, storage, report, encoded(picture()), encoded(picture(), "PNG"))

    events = stored(session, OutboxEvent, name="photo.staged")
    assert [event.data["photo_id"] for event in events] == [str(photo_id) for photo_id in ids]
    assert {event.subject_id for event in events} == {report.id}


def test_staged_bytes_that_no_row_waits_for_go_after_a_day(
    session: Session, storage: Folder
) -> None:
    report = new_report(session)
    put_in(session, storage, report, encoded(picture()))
    (orphan,) = media.stage(storage, check(encoded(picture(), "PNG")))
    now = datetime.now(UTC)

    assert media.stale(storage, now=now) == []
    old = media.stale(storage, now=now + timedelta(days=1, minutes=1))
    lost = media.orphans(session, old)
    media.forget(storage, lost)

    assert len(old) == 2
    assert lost == [orphan.name]
    assert len(media.stale(storage, now=now + timedelta(days=2))) == 1


# -- storage --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket_url() -> Iterator[str]:
    """A bucket of a real server that speaks S3, on a free port."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="eu-west-3",
        aws_access_key_id="key",
        aws_secret_access_key="se/cret",
    )
    client.create_bucket(
        Bucket="photos", CreateBucketConfiguration={"LocationConstraint": "eu-west-3"}
    )
    client.close()
    yield f"s3://key:se%2Fcret@{host}:{port}/photos/riverain?region=eu-west-3&tls=off"
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    url = request.getfixturevalue("bucket_url") if request.param == "bucket" else None
    return open_storage(url, tmp_path)


def test_a_storage_keeps_replaces_lists_and_forgets(any_storage: Storage) -> None:
    any_storage.put("staged/ab/abc", io.BytesIO(b"one"), "image/jpeg")
    any_storage.put("staged/ab/abc", io.BytesIO(b"two"), "image/jpeg")
    any_storage.put("photos/ab/abc/full.jpg", io.BytesIO(b"three"), "image/jpeg")

    assert any_storage.get("staged/ab/abc") == b"two"
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert list(any_storage.older_than("staged", soon)) == ["staged/ab/abc"]
    assert list(any_storage.older_than("staged", soon - timedelta(hours=1))) == []

    any_storage.delete("staged/ab/abc")
    any_storage.delete("staged/ab/abc")
    with pytest.raises(MissingFileError):
        any_storage.get("staged/ab/abc")


def test_a_photo_goes_its_way_in_any_storage(session: Session, any_storage: Storage) -> None:
    report = new_report(session)
    ids = put_in(session, any_storage, report, encoded(picture()))

    run(session, any_storage, ids)

    assert shown(session, any_storage, ids[0], media.Size.THUMB).startswith(b"\xff\xd8\xff")


def test_a_key_never_leaves_the_folder(storage: Folder) -> None:
    for key in ("../secret_key", "/etc/passwd", "a/../b", "", "staged/.x"):
        with pytest.raises(ValueError, match="not a storage key"):
            storage.get(key)


def test_a_storage_that_does_not_answer_is_a_503(tmp_path: Path) -> None:
    bucket = open_storage("s3://key:secret@127.0.0.1:1/photos?tls=off", tmp_path)
    with pytest.raises(StorageAwayError) as away:
        bucket.put("staged/ab/abc", io.BytesIO(b"one"), "image/jpeg")
    assert away.value.status == 503

    (tmp_path / "media").write_text("a file where the folder should be")
    with pytest.raises(StorageAwayError):
        open_storage(None, tmp_path).put("staged/ab/abc", io.BytesIO(b"one"), "image/jpeg")


def test_a_bucket_that_is_not_there_is_a_fault_of_the_settings(
    bucket_url: str, tmp_path: Path
) -> None:
    other = open_storage(bucket_url.replace("/photos/", "/nowhere/"), tmp_path)
    with pytest.raises(StorageAwayError, match="settings"):
        other.get("staged/ab/abc")


@pytest.mark.parametrize("url", ["http://host/bucket", "s3://host", "s3:///bucket"])
def test_a_storage_url_of_another_form_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="STORAGE_URL must read"):
        open_storage(url, tmp_path)
