"""Trips come in over HTTP: what is taken, what is refused and how it is said."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from core.models import OutboxEvent
from reports.storage import Folder
from sensing import keeping, uploading
from sensing.models import StoredTrip, TripPart
from sensing.reading import read
from sensing.traces import Mark, Trip
from tests.factories import new_jurisdiction, stored
from tests.sensing.phones import FIRST_S, csv_of, drive, new_device, send
from tests.sensing.roads import START
from workers import trips
from workers.trips import analyse, clean_trips


@pytest.fixture(scope="module")
def trip() -> Trip:
    """Two and a half kilometres at 50 Hz."""
    return drive()


@pytest.fixture(scope="module")
def text(trip: Trip) -> bytes:
    return csv_of(trip)


@pytest.fixture
def device(client: FlaskClient) -> dict[str, str]:
    return new_device(client)


def files(app: Flask) -> list[Path]:
    """What of trips lies in the storage."""
    root = Path(app.extensions["settings"].data_dir) / "media"
    folders = (keeping.WAITING, keeping.PARTS, keeping.RESEARCH)
    return [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def nothing_is_left(app: Flask) -> Any:
    yield
    for path in files(app):
        path.unlink()


def asked(client: FlaskClient, device: dict[str, str], id_: str) -> Any:
    answer = client.get(f"/api/v1/trips/{id_}", headers=device)
    assert answer.status_code == 200, answer.text
    return answer.json


def analysed(app: Flask, session: Session) -> None:
    with app.app_context():
        analyse([row.id for row in stored(session, StoredTrip)])
    session.expire_all()


# -- what is taken --------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_csv_is_taken_and_analysed(
    app: Flask,
    client: FlaskClient,
    session: Session,
    device: dict[str, str],
    text: bytes,
    packed: bool,
) -> None:
    id_ = str(uuid4())
    answer = send(client, device, text, id=id_, packed=packed)
    assert answer.status_code == 202, answer.text
    assert answer.json["id"] == id_
    assert answer.json["state"] == "received"
    assert set(answer.json["texts"]) == {"en", "fr"}
    [event] = stored(session, OutboxEvent)
    assert event.name == "trip.received"
    analysed(app, session)
    assert asked(client, device, id_)["state"] == "analysed"
    assert asked(client, device, id_)["bumps"] >= 0
    assert files(app) == []


@pytest.mark.parametrize("form", ["columns", "samples", "bare"])
@pytest.mark.parametrize("packed", [True, False])
def test_json_is_taken_as_columns_or_as_samples(
    client: FlaskClient, device: dict[str, str], form: str, packed: bool
) -> None:
    trip = drive(rate_hz=5.0)
    names = ("t", "lat", "lon", "speed_ms", "ax", "ay", "az")
    values = [trip.t_s, trip.lat_deg, trip.lon_deg, trip.speed_ms, *trip.acceleration.T]
    columns = {
        name: [None if np.isnan(value) else value for value in column.tolist()]
        for name, column in zip(names, values, strict=True)
    }
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    id_ = str(uuid4())
    documents: dict[str, Any] = {
        "columns": {"id": id_, "samples": columns},
        "samples": {"id": id_, "samples": rows},
        "bare": rows,
    }
    body = json.dumps(documents[form]).encode()
    answer = client.post(
        "/api/v1/trips",
        data=gzip.compress(body) if packed else body,
        content_type="application/json",
        headers=device | ({"Content-Encoding": "gzip"} if packed else {}),
    )
    assert answer.status_code == 202, answer.text
    assert answer.json["state"] == "received"
    if form != "bare":
        assert answer.json["id"] == id_


def test_a_trip_that_is_packed_again_is_the_same(
    client: FlaskClient, device: dict[str, str], text: bytes
) -> None:
    id_ = str(uuid4())
    answers = [
        client.post(
            "/api/v1/trips",
            query_string={"id": id_},
            data=gzip.compress(text, mtime=when),
            content_type="application/gzip",
            headers=device,
        )
        for when in (1_790_000_000, 1_790_000_007)
    ]
    assert [answer.status_code for answer in answers] == [202, 200]


def test_the_same_trip_twice_is_one_trip_and_one_answer(
    client: FlaskClient, session: Session, device: dict[str, str], text: bytes
) -> None:
    id_ = str(uuid4())
    first = send(client, device, text, id=id_)
    second = send(client, device, text, id=id_)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json == second.json
    assert len(stored(session, StoredTrip)) == 1
    assert len(stored(session, OutboxEvent)) == 1


def test_another_trip_under_the_same_id_is_a_conflict(
    client: FlaskClient, device: dict[str, str], text: bytes
) -> None:
    id_ = str(uuid4())
    send(client, device, text, id=id_)
    answer = send(client, device, csv_of(drive(seed=5)), id=id_)
    assert (answer.status_code, answer.json["code"]) == (409, "trip_differs")


def test_another_device_is_told_nothing_of_a_trip(
    client: FlaskClient, device: dict[str, str], text: bytes
) -> None:
    id_, other = str(uuid4()), new_device(client)
    send(client, device, text, id=id_)
    taken = send(client, other, text, id=id_)
    assert (taken.status_code, taken.json["code"]) == (409, "trip_id_taken")
    assert "state" not in taken.json
    missing = client.get(f"/api/v1/trips/{uuid4()}", headers=other)
    theirs = client.get(f"/api/v1/trips/{id_}", headers=other)
    assert theirs.status_code == missing.status_code == 404
    assert theirs.json["detail"] == missing.json["detail"]


# -- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [None, "Bearer", "Bearer rvd_", f"Bearer rvd_{'A' * 43}", "Bearer rvs_x", "Basic YTpi"],
)
def test_without_a_good_key_nothing_is_taken(
    client: FlaskClient, session: Session, text: bytes, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = send(client, headers, text)
    assert answer.status_code == 401
    assert client.get(f"/api/v1/trips/{uuid4()}", headers=headers).status_code == 401
    assert stored(session, StoredTrip) == []


def test_a_key_is_changed_for_another_and_ends(
    client: FlaskClient, device: dict[str, str], text: bytes
) -> None:
    id_ = str(uuid4())
    send(client, device, text, id=id_)
    answer = client.post("/api/v1/devices/rotation", headers=device)
    assert answer.status_code == 201
    fresh = {"Authorization": f"Bearer {answer.json['key']}"}
    assert client.post("/api/v1/devices/rotation", headers=device).status_code == 401
    # Nothing leads from the new key to what the old one sent.
    assert client.get(f"/api/v1/trips/{id_}", headers=fresh).status_code == 404
    assert client.delete("/api/v1/devices/current", headers=fresh).status_code == 204
    assert send(client, fresh, text).status_code == 401


# -- bad input ------------------------------------------------------------------------------------


def refused(answer: Any, code: str, field: str | None = None, status: int = 422) -> None:
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.text
    assert set(answer.json["texts"]) == {"en", "fr"}
    if field is not None:
        assert list(answer.json["errors"]) == [field]


def test_zero_samples_are_refused(client: FlaskClient, device: dict[str, str]) -> None:
    header = b"t,lat,lon,speed_ms,ax,ay,az\n"
    refused(send(client, device, header), "trip_empty", "t")
    refused(send(client, device, b""), "trip_unreadable")
    answer = client.post("/api/v1/trips", json={"samples": []}, headers=device)
    refused(answer, "trip_empty", "t")


def test_samples_that_are_no_numbers_are_left_out_and_marked(
    client: FlaskClient, device: dict[str, str], trip: Trip
) -> None:
    az = trip.acceleration[:, 2].copy()
    az[100:140] = np.nan
    answer = send(client, device, csv_of(trip, az=az))
    assert answer.status_code == 202
    assert [mark["code"] for mark in answer.json["marks"]] == ["samples_left_out"]
    only = send(client, device, csv_of(trip, az=np.full(len(az), np.nan)))
    refused(only, "trip_empty", "t")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"t,lat,lon,speed_ms,ax,ay,az\n1,2,3,4,5,six,7\n", "ay"),
        (b"lat,lon\n1,2\n", "t"),
        (b"t,t,ax,ay,az\n1,1,1,1,1\n", "t"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", None),
        (b"hello", "t"),
        (b'{"samples": {"t": "now"}}', "samples.t"),
        (b'{"samples": {"t": [1], "ax": [[1]], "ay": [1], "az": [1]}}', "samples.ax"),
        (b'{"samples": {"t": [1, 2], "ax": [1], "ay": [1], "az": [1]}}', "samples"),
        (b'{"samples": 5}', "samples"),
        (b"{", None),
        (b"[" * 1001, "samples"),
        (b'{"samples": {"t": [1e999, "x"]}}', "samples.t"),
    ],
)
def test_what_is_no_trip_is_refused_and_says_where(
    client: FlaskClient, device: dict[str, str], body: bytes, field: str | None
) -> None:
    answer = send(client, device, body, packed=False)
    assert answer.status_code in (413, 422), answer.text
    assert answer.json["code"] in ("trip_unreadable", "trip_too_large")
    if field is not None:
        assert list(answer.json["errors"]) == [field]


@pytest.mark.parametrize(
    ("samples", "field", "words"),
    [
        ([{"t": {"value": 1.0}, "ax": 0, "ay": 0, "az": 9.8}], "samples.t", "an object where"),
        ({"t": [1.0], "ax": [[0.1]], "ay": [0], "az": [9.8]}, "samples.ax", "a list where"),
        ({"t": [1.0, 2.0], "ax": [0, [1, 2]], "ay": [0, 0], "az": [9, 9]}, "samples.ax", "a list"),
        ({"t": [1.0], "ax": [0], "ay": [0], "az": [True]}, "samples.az", "true or false where"),
        ([[1.0, 0.0, 0.0, 9.8]] * 2000, "samples", "Lists stand where numbers should"),
        (
            {name: [{"value": 1.0}] * 70_000 for name in ("t", "ax", "ay", "az")},
            "samples",
            "Objects stand where numbers should",
        ),
        (
            [{"t": {"v": 1}, "ax": {"v": 0}, "ay": {"v": 0}, "az": {"v": 9.8}}] * 60_000,
            "samples",
            "Objects stand where numbers should",
        ),
    ],
)
def test_lists_and_objects_in_the_place_of_numbers_are_called_so(
    client: FlaskClient, device: dict[str, str], samples: Any, field: str, words: str
) -> None:
    answer = send(client, device, json.dumps({"samples": samples}).encode())
    refused(answer, "trip_unreadable", field)
    assert words in answer.json["detail"]


def test_too_many_samples_in_json_are_called_so(
    client: FlaskClient, device: dict[str, str]
) -> None:
    body = b"[" + b",".join([b'{"T": 1}'] * 250_001) + b"]"
    answer = send(client, device, body)
    refused(answer, "trip_too_large", status=413)
    assert "250000 samples" in answer.json["detail"]


def test_lines_of_another_length_are_left_out_and_told(
    app: Flask, client: FlaskClient, session: Session, device: dict[str, str], text: bytes
) -> None:
    lines = text.splitlines()
    lines[200] += b",1"
    lines[300] = b"1,2"
    # The phone died while it wrote.
    lines[-1] = lines[-1][:20]
    id_ = str(uuid4())
    answer = send(client, device, b"\n".join(lines), id=id_)
    assert (answer.status_code, answer.json["state"]) == (202, "received"), answer.text
    assert [mark["code"] for mark in answer.json["marks"]] == ["lines_left_out"]
    # It is still known when the samples are gone.
    analysed(app, session)
    told = asked(client, device, id_)
    assert told["state"] == "analysed"
    assert "lines_left_out" in [mark["code"] for mark in told["marks"]]


def test_a_quotation_mark_that_is_not_closed_costs_its_line_only(text: bytes) -> None:
    lines = text.splitlines()
    whole = read(b"\n".join(lines))
    quoted = [b",".join(b'"' + each + b'"' for each in line.split(b",")) for line in lines]
    assert len(read(b"\n".join(quoted)).columns["t"]) == len(whole.columns["t"])
    assert read(b"\n".join(quoted)).marks == frozenset()
    lines[200] = b'"' + lines[200]
    lost = read(b"\n".join(lines))
    assert len(lost.columns["t"]) == len(whole.columns["t"]) - 1
    assert lost.marks == {Mark.BAD_LINES}


@pytest.mark.parametrize("is_longer", [True, False])
def test_a_file_most_of_whose_lines_are_of_another_length_is_refused(
    client: FlaskClient, device: dict[str, str], text: bytes, is_longer: bool
) -> None:
    header, *lines = text.splitlines()[:1000]
    others = [line + b",7" if is_longer else line.rpartition(b",")[0] for line in lines]
    for bad in (others, [*lines[:400], *others[400:]]):
        answer = send(client, device, b"\n".join([header, *bad]))
        refused(answer, "trip_unreadable")
        assert "the 7 columns that the header names" in answer.json["detail"]


def test_constant_acceleration_is_marked_and_not_believed(
    app: Flask, client: FlaskClient, session: Session, device: dict[str, str], trip: Trip
) -> None:
    still = np.zeros(len(trip.t_s))
    answer = send(client, device, csv_of(trip, ax=still, ay=still, az=still))
    assert (answer.status_code, answer.json["state"]) == (202, "marked")
    assert "constant_acceleration" in [mark["code"] for mark in answer.json["marks"]]
    assert files(app) == []
    assert stored(session, OutboxEvent) == []


def test_accelerations_in_g_are_put_right_and_told(
    client: FlaskClient, device: dict[str, str], trip: Trip
) -> None:
    felt = trip.acceleration / 9.80665
    answer = send(client, device, csv_of(trip, ax=felt[:, 0], ay=felt[:, 1], az=felt[:, 2]))
    assert (answer.status_code, answer.json["state"]) == (202, "received")
    assert "acceleration_was_in_g" in [mark["code"] for mark in answer.json["marks"]]


def test_accelerations_without_gravity_are_refused(
    client: FlaskClient, device: dict[str, str], trip: Trip
) -> None:
    felt = trip.acceleration - trip.acceleration.mean(axis=0)
    answer = send(client, device, csv_of(trip, ax=felt[:, 0], ay=felt[:, 1], az=felt[:, 2]))
    refused(answer, "trip_units", "az")


def test_milliseconds_are_put_right_and_told(
    client: FlaskClient, device: dict[str, str], trip: Trip
) -> None:
    answer = send(client, device, csv_of(trip, t=trip.t_s * 1000))
    assert (answer.status_code, answer.json["state"]) == (202, "received")
    assert "times_were_in_milliseconds" in [mark["code"] for mark in answer.json["marks"]]


def test_latitude_and_longitude_the_wrong_way_round_are_refused(
    client: FlaskClient, session: Session, device: dict[str, str], trip: Trip
) -> None:
    new_jurisdiction(session)
    answer = send(client, device, csv_of(trip, lat=trip.lon_deg, lon=trip.lat_deg))
    refused(answer, "trip_positions", "lat")


def test_positions_that_jump_are_left_out_and_told(
    client: FlaskClient, device: dict[str, str], trip: Trip
) -> None:
    lat = trip.lat_deg.copy()
    lat[5000:5050] += 2.0
    answer = send(client, device, csv_of(trip, lat=lat))
    assert (answer.status_code, answer.json["state"]) == (202, "received")
    assert "teleporting_gps" in [mark["code"] for mark in answer.json["marks"]]


@pytest.mark.parametrize(("speed_ms", "mark"), [(230.0, "too_fast_for_a_car"), (4.5, "not_a_car")])
def test_a_plane_and_a_bicycle_are_marked_and_not_believed(
    app: Flask, client: FlaskClient, device: dict[str, str], speed_ms: float, mark: str
) -> None:
    seconds = 700.0
    t = np.arange(0.0, seconds, 0.1)
    drawn = np.random.default_rng(0)
    columns = {
        "t": FIRST_S + t,
        "lat": START.lat + t * speed_ms / 111_100.0,
        "lon": np.full(len(t), START.lon),
        "speed_ms": np.full(len(t), speed_ms),
        "ax": drawn.normal(0.0, 0.3, len(t)),
        "ay": drawn.normal(0.0, 0.3, len(t)),
        "az": drawn.normal(9.8, 0.3, len(t)),
    }
    body = ",".join(columns) + "\n"
    body += "\n".join(
        ",".join(f"{value:.6f}" for value in row) for row in zip(*columns.values(), strict=True)
    )
    answer = send(client, device, body.encode())
    assert (answer.status_code, answer.json["state"]) == (202, "marked"), answer.text
    assert mark in [each["code"] for each in answer.json["marks"]]
    assert files(app) == []


def test_a_trip_from_the_future_is_refused(
    client: FlaskClient, device: dict[str, str], trip: Trip
) -> None:
    refused(send(client, device, csv_of(trip, t=trip.t_s + 3e9)), "trip_from_future", "t")


def test_what_is_not_gzip_or_breaks_off_is_refused(
    client: FlaskClient, device: dict[str, str], text: bytes
) -> None:
    packed = gzip.compress(text)
    for body in (b"not gzip at all", packed[: len(packed) // 2], packed[:10] + b"\xff" * 50):
        answer = client.post(
            "/api/v1/trips", data=body, content_type="application/gzip", headers=device
        )
        refused(answer, "trip_not_gzip")


def test_a_file_that_expands_a_thousandfold_is_refused_while_it_streams(
    client: FlaskClient, device: dict[str, str]
) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(b"t,ax,ay,az\n")
    for _ in range(400):
        bomb += packer.compress(b"1,1,1,1\n" * 131_072)
    bomb += packer.flush()
    assert len(bomb) < 1024 * 1024
    for body in (bomb, gzip.compress(b"{" + b" " * 60_000_000)):
        answer = client.post(
            "/api/v1/trips", data=body, content_type="application/gzip", headers=device
        )
        refused(answer, "trip_too_large", status=413)


def test_more_than_twenty_megabytes_are_refused(
    client: FlaskClient, device: dict[str, str]
) -> None:
    answer = client.post(
        "/api/v1/trips", data=b"t" * (20 * 1024 * 1024 + 1), content_type="text/csv", headers=device
    )
    refused(answer, "trip_too_large", status=413)


@pytest.mark.parametrize("path", ["trips", "trips/{}/parts/1"])
def test_a_body_without_a_length_ends_where_it_is_too_large(
    client: FlaskClient, device: dict[str, str], path: str
) -> None:
    is_part = "parts" in path
    most = (5 if is_part else 20) * 1024 * 1024
    answer = client.open(
        f"/api/v1/{path.format(uuid4())}",
        method="PUT" if is_part else "POST",
        # As gunicorn hands over what comes in chunks; a stream of the client's would get a length.
        environ_overrides={
            "wsgi.input": io.BytesIO(b"t" * (most + 1000)),
            "wsgi.input_terminated": True,
        },
        content_type="text/csv",
        headers={**device, "Transfer-Encoding": "chunked"},
    )
    code = "trip_part_too_large" if is_part else "trip_too_large"
    refused(answer, code, status=413)
    assert answer.json["detail"] == f"At most {most >> 20} MB."


@pytest.mark.parametrize("path", ["trips?id={}", "trips/{}/parts/1"])
def test_a_trip_that_broke_off_on_its_way_is_not_taken_and_can_be_sent_again(
    client: FlaskClient, device: dict[str, str], text: bytes, path: str
) -> None:
    url = f"/api/v1/{path.format(uuid4())}"
    method = "PUT" if "parts" in path else "POST"
    broken = client.open(
        url,
        method=method,
        environ_overrides={
            "wsgi.input": io.BytesIO(text[: len(text) // 2]),
            "wsgi.input_terminated": True,
            "CONTENT_LENGTH": str(len(text)),
        },
        content_type="text/csv",
        headers=device,
    )
    assert broken.status_code == 400, broken.text
    again = client.open(url, method=method, data=text, content_type="text/csv", headers=device)
    assert again.status_code in (201, 202), again.text


def test_more_than_four_hours_are_refused(
    client: FlaskClient, device: dict[str, str], trip: Trip
) -> None:
    t = trip.t_s + np.linspace(0.0, 5 * 3600.0, len(trip.t_s))
    refused(send(client, device, csv_of(trip, t=t)), "trip_times", "t")


def test_a_trip_that_is_too_short_is_nothing(
    app: Flask, client: FlaskClient, session: Session, device: dict[str, str], trip: Trip
) -> None:
    short = csv_of(trip).splitlines()[:1500]
    answer = send(client, device, b"\n".join(short))
    assert (answer.status_code, answer.json["state"]) == (202, "marked")
    assert "nothing_left_between_the_ends" in [mark["code"] for mark in answer.json["marks"]]
    assert files(app) == []
    [row] = stored(session, StoredTrip)
    assert (row.day, row.day_id, row.day_key, row.storage_name) == (None, None, None, None)


def test_a_stored_file_that_broke_is_a_refused_trip(
    app: Flask, client: FlaskClient, session: Session, device: dict[str, str], text: bytes
) -> None:
    ids = [str(uuid4()) for _ in range(3)]
    for number, id_ in enumerate(ids):
        send(client, device, text, id=id_)
        [path] = [path for path in files(app) if path.stat().st_size > 100]
        if number == 0:
            path.write_bytes(b"nothing")
        elif number == 1:
            content = bytearray(path.read_bytes())
            content[len(content) // 2 : len(content) // 2 + 400] = b"\0" * 400
            path.write_bytes(content)
        else:
            path.unlink()
        analysed(app, session)
    told = [asked(client, device, id_) for id_ in ids]
    assert [each["state"] for each in told] == ["refused"] * 3
    assert told[0]["reason"]["code"] == "trip_broken"
    assert files(app) == []


# -- in parts -------------------------------------------------------------------------------------


def put(client: FlaskClient, device: dict[str, str], id_: str, number: int, body: bytes) -> Any:
    return client.put(
        f"/api/v1/trips/{id_}/parts/{number}",
        data=body,
        content_type="application/octet-stream",
        headers=device,
    )


def complete(client: FlaskClient, device: dict[str, str], id_: str, parts: int) -> Any:
    return client.post(f"/api/v1/trips/{id_}/complete", json={"parts": parts}, headers=device)


def thirds(body: bytes) -> list[bytes]:
    cut = len(body) // 3
    return [body[:cut], body[cut : 2 * cut], body[2 * cut :]]


def test_parts_in_any_order_and_twice_make_the_trip(
    app: Flask, client: FlaskClient, session: Session, device: dict[str, str], text: bytes
) -> None:
    id_, parts = str(uuid4()), thirds(gzip.compress(text))
    assert put(client, device, id_, 3, parts[2]).status_code == 201
    assert put(client, device, id_, 1, parts[0]).status_code == 201
    again = put(client, device, id_, 1, parts[0])
    assert again.status_code == 200
    told = asked(client, device, id_)
    assert told["state"] == "uploading"
    assert [part["number"] for part in told["parts"]] == [1, 3]
    early = complete(client, device, id_, 3)
    assert (early.status_code, early.json["code"]) == (409, "trip_parts_missing")
    assert early.json["missing"] == [2]
    put(client, device, id_, 2, parts[1])
    done = complete(client, device, id_, 3)
    assert (done.status_code, done.json["state"]) == (202, "received"), done.text
    assert complete(client, device, id_, 3).status_code == 200
    late = put(client, device, id_, 4, b"more")
    assert (late.status_code, late.json["code"]) == (409, "trip_state")
    assert session.scalar(sa.select(sa.func.count()).select_from(TripPart)) == 0
    assert len(files(app)) == 1
    analysed(app, session)
    assert asked(client, device, id_)["state"] == "analysed"


def test_who_completes_a_trip_a_moment_later_is_answered_the_same(
    client: FlaskClient,
    session: Session,
    device: dict[str, str],
    text: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    id_, parts = str(uuid4()), thirds(gzip.compress(text))
    for number, part in enumerate(parts, start=1):
        put(client, device, id_, number, part)
    there = [
        uploading.Part(part.number, part.size, part.storage_name)
        for part in session.scalars(sa.select(TripPart).order_by(TripPart.number))
    ]
    assert complete(client, device, id_, 3).status_code == 202
    # Both looked while the parts were there; the second one finds their files gone.
    monkeypatch.setattr(uploading, "whole", lambda *_: there)
    late = complete(client, device, id_, 3)
    assert (late.status_code, late.json["state"]) == (200, "received"), late.text


def test_a_part_with_other_bytes_is_a_conflict(client: FlaskClient, device: dict[str, str]) -> None:
    id_ = str(uuid4())
    put(client, device, id_, 1, b"one")
    answer = put(client, device, id_, 1, b"another")
    assert (answer.status_code, answer.json["code"]) == (409, "trip_differs")
    other = put(client, new_device(client), id_, 2, b"two")
    assert (other.status_code, other.json["code"]) == (409, "trip_id_taken")


@pytest.mark.parametrize("number", [0, 201])
def test_parts_have_numbers_from_one_on(
    client: FlaskClient, device: dict[str, str], number: int
) -> None:
    assert put(client, device, str(uuid4()), number, b"x").status_code == 422


def test_parts_together_are_no_larger_than_a_trip(
    app: Flask, client: FlaskClient, device: dict[str, str]
) -> None:
    id_, part = str(uuid4()), b"x" * (5 * 1024 * 1024)
    for number in range(1, 5):
        assert put(client, device, id_, number, part).status_code == 201
    refused(put(client, device, id_, 5, b"x"), "trip_too_large", status=413)


def test_a_part_that_is_too_large_is_told_how_large_parts_may_be(
    client: FlaskClient, device: dict[str, str]
) -> None:
    answer = put(client, device, str(uuid4()), 1, b"x" * (5 * 1024 * 1024 + 1))
    refused(answer, "trip_part_too_large", status=413)
    assert answer.json["detail"] == "At most 5 MB."
    assert "5 MB" in answer.json["texts"]["en"]
    assert "5 Mo" in answer.json["texts"]["fr"]
    assert "20" not in "".join(answer.json["texts"].values())


def test_parts_that_make_no_trip_end_as_a_refused_one(
    app: Flask, client: FlaskClient, device: dict[str, str]
) -> None:
    id_ = str(uuid4())
    put(client, device, id_, 1, b"no,samples\n1,2\n")
    refused(complete(client, device, id_, 1), "trip_unreadable", "t")
    told = asked(client, device, id_)
    assert (told["state"], told["reason"]["code"]) == ("refused", "trip_unreadable")
    assert files(app) == []


# -- what is said beside the samples --------------------------------------------------------------

NO_CONSENT = ["yes", "true", 1, 0, "", [], {}, [True]]


@pytest.mark.parametrize("said", NO_CONSENT, ids=repr)
def test_a_consent_in_json_that_is_no_boolean_is_refused(
    client: FlaskClient, session: Session, device: dict[str, str], said: Any
) -> None:
    document = {"research": said, "samples": {"t": [], "ax": [], "ay": [], "az": []}}
    answer = client.post("/api/v1/trips", json=document, headers=device)
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["research"]
    assert stored(session, StoredTrip) == []


@pytest.mark.parametrize("said", ["yes", "on", "null", "", "2", "oui"])
def test_a_consent_in_the_query_that_is_no_boolean_is_refused(
    client: FlaskClient, session: Session, device: dict[str, str], text: bytes, said: str
) -> None:
    answer = send(client, device, text, research=said)
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["research"]
    assert stored(session, StoredTrip) == []


@pytest.mark.parametrize("said", NO_CONSENT, ids=repr)
def test_a_consent_to_a_trip_in_parts_that_is_no_boolean_is_refused(
    client: FlaskClient, device: dict[str, str], said: Any
) -> None:
    id_ = str(uuid4())
    put(client, device, id_, 1, b"one")
    answer = client.post(
        f"/api/v1/trips/{id_}/complete", json={"parts": 1, "research": said}, headers=device
    )
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["research"]
    # It can still be said right.
    assert asked(client, device, id_)["state"] == "uploading"


def test_a_document_in_parts_says_no_more_than_one_that_comes_whole(
    client: FlaskClient, device: dict[str, str]
) -> None:
    for member in ("research", "colour"):
        id_ = str(uuid4())
        put(client, device, id_, 1, json.dumps({member: "yes", "samples": []}).encode())
        answer = complete(client, device, id_, 1)
        assert answer.status_code == 422
        assert list(answer.json["errors"]) == [member]
        assert asked(client, device, id_)["state"] == "refused"


@pytest.fixture(scope="module")
def columns() -> dict[str, list[float | None]]:
    """A trip as a document's samples."""
    trip = drive(rate_hz=5.0)
    names = ("t", "lat", "lon", "speed_ms", "ax", "ay", "az")
    values = [trip.t_s, trip.lat_deg, trip.lon_deg, trip.speed_ms, *trip.acceleration.T]
    return {
        name: [None if np.isnan(value) else value for value in column.tolist()]
        for name, column in zip(names, values, strict=True)
    }


@pytest.mark.parametrize(
    ("said", "consents"),
    [({}, False), ({"research": None}, False), ({"research": False}, False),
     ({"research": True}, True)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("way", ["whole", "parts", "completion"])
def test_silence_and_null_consent_to_nothing(
    client: FlaskClient,
    session: Session,
    device: dict[str, str],
    columns: dict[str, list[float | None]],
    way: str,
    said: dict[str, Any],
    consents: bool,
) -> None:
    document = {"samples": columns, **({} if way == "completion" else said)}
    if way == "whole":
        answer = client.post("/api/v1/trips", json=document, headers=device)
    else:
        id_ = str(uuid4())
        put(client, device, id_, 1, json.dumps(document).encode())
        completion = {"parts": 1, **(said if way == "completion" else {})}
        answer = client.post(f"/api/v1/trips/{id_}/complete", json=completion, headers=device)
    assert answer.status_code == 202, answer.text
    [row] = stored(session, StoredTrip)
    assert row.is_research is consents


@pytest.mark.parametrize(
    ("said", "consents"), [("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_the_query_consents_in_one_word(
    client: FlaskClient,
    session: Session,
    device: dict[str, str],
    text: bytes,
    said: str,
    consents: bool,
) -> None:
    assert send(client, device, text, research=said).status_code == 202
    [row] = stored(session, StoredTrip)
    assert row.is_research is consents


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "trips"), ("PUT", "trips/{}/parts/1"), ("POST", "trips/{}/complete")],
)
def test_a_query_parameter_that_uploads_do_not_know_is_refused_by_name(
    client: FlaskClient, session: Session, device: dict[str, str], method: str, path: str
) -> None:
    body: dict[str, Any] = {"json": {"parts": 1}} if "complete" in path else {"data": b"t,ax\n"}
    answer = client.open(
        f"/api/v1/{path.format(uuid4())}?reserch=true", method=method, headers=device, **body
    )
    assert answer.status_code == 422
    assert answer.json["errors"] == {"reserch": ["Unknown field."]}
    assert stored(session, StoredTrip) == []


@pytest.mark.parametrize("said", ["research=true&research=false", "id={0}&id={1}"])
def test_what_a_query_says_twice_is_refused_by_name(
    client: FlaskClient, device: dict[str, str], text: bytes, said: str
) -> None:
    answer = client.post(
        f"/api/v1/trips?{said.format(uuid4(), uuid4())}",
        data=text,
        content_type="text/csv",
        headers=device,
    )
    assert answer.status_code == 422
    assert answer.json["errors"] == {said.partition("=")[0]: ["Say it once."]}


def test_what_a_document_says_twice_is_refused_by_name(
    client: FlaskClient, device: dict[str, str]
) -> None:
    document = b'{"research": false, "research": true, "samples": {"t": []}}'
    answer = send(client, device, document, packed=False)
    refused(answer, "trip_unreadable", "research")


def test_parts_are_kept_so_that_nobody_but_the_phone_can_read_them(
    app: Flask, client: FlaskClient, device: dict[str, str], text: bytes
) -> None:
    put(client, device, str(uuid4()), 1, text[:100_000])
    [path] = files(app)
    kept = path.read_bytes()
    assert text[:20] not in kept
    assert len(zlib.compress(kept)) > 0.99 * len(kept)


# -- many and old ---------------------------------------------------------------------------------


def test_many_at_once_are_each_taken_or_told_to_come_again(committed_db: Flask) -> None:
    body = gzip.compress(csv_of(drive(rate_hz=10.0)), 1)
    device = new_device(committed_db.test_client())
    ids = [str(uuid4()) for _ in range(50)]

    def until_taken(id_: str) -> int:
        refusals = 0
        while True:
            answer = committed_db.test_client().post(
                "/api/v1/trips",
                query_string={"id": id_},
                data=body,
                content_type="application/gzip",
                headers=device,
            )
            if answer.status_code != 503:
                assert answer.status_code in (200, 202), answer.text
                return refusals
            assert answer.json["code"] == "trips_busy"
            assert answer.headers["Retry-After"] == "2"
            refusals += 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(until_taken, ids))
    states = {
        committed_db.test_client().get(f"/api/v1/trips/{id_}", headers=device).json["state"]
        for id_ in ids
    }
    assert states == {"received"}
    assert len(files(committed_db)) == 50


def test_what_nobody_knows_any_more_is_taken_away(
    app: Flask,
    client: FlaskClient,
    session: Session,
    device: dict[str, str],
    text: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send(client, device, text)
    put(client, device, str(uuid4()), 1, b"one")
    storage: Folder = app.extensions["storage"]
    storage.put(keeping.key_of(keeping.WAITING, "00ff"), io.BytesIO(b"x"), "x")
    monkeypatch.setattr(uploading, "STALE_AFTER", timedelta(seconds=-5))
    with app.app_context():
        clean_trips.run()
    assert len(files(app)) == 2
    now = trips.utc_now()
    monkeypatch.setattr(trips, "utc_now", lambda: now + timedelta(days=91))
    with app.app_context():
        clean_trips.run()
    session.expire_all()
    assert files(app) == []
    assert stored(session, StoredTrip) == []
    assert client.get(f"/api/v1/trips/{uuid4()}", headers=device).status_code == 401
