"""Uploads of trips over HTTP: keys for phones, trips whole or in parts, and what became of them.

Reading a trip takes memory and time, and phones come home at the same hour. So each process reads
one at a time, and always keeps a thread free for everybody else: what is beyond that is told to
come again (503 with `Retry-After`), which costs nothing, because a trip is known by its id.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from flask import Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint
from werkzeug.exceptions import RequestEntityTooLarge

from accounts.access import DEVICE, EVERYONE, allow, device_key
from core.api import PayloadError, keep_nowhere, load
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError, InvalidError, UnavailableError
from core.ids import new_id
from core.limits import Allowance, limited
from geo import jurisdictions
from geo.measures import Box
from reports.storage import Storage
from sensing import devices, keeping, telling, uploading
from sensing.devices import Device
from sensing.models import StoredTrip
from sensing.reading import MOST_BYTES, PartTooLargeError, Sent, TooLargeError
from sensing.reading import read as read_samples
from sensing.schemas import CompletionIn, DeviceKeyOut, TripIn, TripOut, TripQuery
from sensing.traces import Mark
from sensing.uploading import MOST_PART_BYTES, MOST_PARTS, PartsMissingError, Prepared, Upload
from sensing.vocabulary import TripState

blueprint = Blueprint(
    "trips", __name__, description="Phones in moving cars: their keys and their trips."
)
blueprint.after_request(keep_nowhere)

#: What may be said of a trip beside its samples.
_BESIDE = frozenset({"id", "research"})

#: Where the door of this process is kept.
_DOOR = "trips_door"

_EXAMPLE = {
    "id": "0190b5a4-7e5f-7cc0-8000-6f0d5a3c9b11",
    "research": False,
    "samples": {
        "t": [1767225600.0, 1767225600.02, 1767225600.04],
        "lat": [43.6109, 43.6109, 43.6109],
        "lon": [3.8772, 3.8772, 3.8772],
        "speed_ms": [8.2, 8.2, 8.2],
        "ax": [0.1, 0.3, 0.2],
        "ay": [0.2, 0.1, 0.2],
        "az": [9.7, 9.9, 9.8],
    },
}

_BINARY = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
_FILES = {
    "text/csv": {"schema": {"type": "string"}},
    "application/gzip": _BINARY,
}


class BusyError(UnavailableError):
    """As many trips are being read as may be; nothing of this one was kept."""

    code = "trips_busy"
    title = "Many trips are coming in; send this one again in a moment"


class Door:
    """Lets a few uploads in and one of them read at a time; of one process."""

    def __init__(self, places: int) -> None:
        self._places = threading.BoundedSemaphore(places)
        self._reader = threading.Lock()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """A place for one upload.

        Raises:
            BusyError: all are taken.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError(retry_after=2)
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The one reader's turn."""
        with self._reader:
            yield


# -- keys -----------------------------------------------------------------------------------------


@blueprint.route("/devices", methods=["POST"])
@blueprint.response(201, DeviceKeyOut)
@allow(EVERYONE)
@limited(Allowance.DEVICE_KEY)
def make_device_key() -> ResponseReturnValue:
    """Get a key for a sensing device

    Nobody is asked who they are, and nothing about the phone is stored but a keyed digest of the
    key. It ends by itself after 90 days; change it every month.
    """
    with transaction() as session:
        made = devices.make(session, _secret(), now=utc_now())
    return _key(made)


@blueprint.route("/devices/rotation", methods=["POST"])
@blueprint.response(201, DeviceKeyOut)
@allow(DEVICE)
@limited(Allowance.DEVICE_KEY)
def change_device_key() -> ResponseReturnValue:
    """Change the key for another one

    The old one ends at once. Nothing that is stored says which key followed which, so trips that
    were sent with the old one can no longer be asked for, and parts of a trip must be complete.
    """
    with transaction() as session:
        made = devices.rotate(session, _device(), now=utc_now())
    return _key(made)


@blueprint.route("/devices/current", methods=["DELETE"])
@blueprint.response(204)
@allow(DEVICE)
def end_device_key() -> ResponseReturnValue:
    """End the key"""
    with transaction() as session:
        devices.end(session, _device(), now=utc_now())
    return "", 204


# -- trips ----------------------------------------------------------------------------------------


@blueprint.route("/trips", methods=["POST"])
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": TripIn, "example": _EXAMPLE}, **_FILES},
    },
)
@allow(DEVICE)
@limited(Allowance.TRIP)
@blueprint.arguments(TripQuery, location="query")
@blueprint.response(202, TripOut, description="Taken; the pipeline analyses it.")
@blueprint.alt_response(200, schema=TripOut, description="This very trip was sent before.")
@blueprint.alt_response(409, description="The id stands for something else.")
@blueprint.alt_response(413, description="More than 20 MB, or than four hours.")
@blueprint.alt_response(422, description="No trip can be made of it; says which column is at fault")
@blueprint.alt_response(503, description="Many trips are coming in; send it again in a moment.")
def send_trip(query: dict[str, Any]) -> ResponseReturnValue:
    """Send a trip

    As JSON, or as CSV with a header: `t,lat,lon,speed_ms,ax,ay,az`, optionally `gx,gy,gz`,
    `bearing` and `accuracy_m`; each compressed by gzip or not. At most four hours, 20 MB and 200
    samples a second. The surroundings of its beginning and end are cut off before anything is
    kept, and what is kept is deleted when it has been analysed. Query parameters and members of a
    document that are not known here, or stand twice, are refused by name.
    """
    _refuse_unclear(_BESIDE)
    device = _device()
    with _door().inside(), _worded():
        boxes = _boxes_for(device)
        body = _body(MOST_BYTES)
        with _door().reading():
            sent = read_samples(body, is_gzip=_is_gzip())
            said = _said(sent)
            upload = Upload(device, query.get("id") or said.get("id") or new_id())
            content = upload.content(body)
            with reading() as session:
                known = uploading.repeated(session, upload, content)
                answer = None if known is None else _trip(upload, known)
            if answer is not None:
                return answer
            del body
            made = uploading.prepared(sent, boxes=boxes, now=utc_now())
        del sent
        return _received(upload, made, content, is_research=_consents(query, said))


@blueprint.route("/trips/<uuid:trip_id>", methods=["GET"])
@allow(DEVICE)
@blueprint.response(200, TripOut)
@blueprint.alt_response(404, description="There is none that this device sent.")
def get_trip(trip_id: UUID) -> ResponseReturnValue:
    """What became of a trip

    For the device that sent it, for 30 days.
    """
    upload = Upload(_device(), trip_id)
    with reading() as session:
        devices.known(session, upload.device, now=utc_now())
        return _trip(upload, uploading.found(session, upload), uploading.parts(session, upload))


@blueprint.route("/trips/<uuid:trip_id>/parts/<int:number>", methods=["PUT"])
@blueprint.doc(requestBody={"required": True, "content": {"application/octet-stream": _BINARY}})
@allow(DEVICE)
@limited(Allowance.TRIP)
@blueprint.response(201, TripOut, description="The part is there.")
@blueprint.alt_response(200, schema=TripOut, description="This very part was there before.")
@blueprint.alt_response(409, description="Other bytes were sent as this part, or it is complete.")
@blueprint.alt_response(413, description="A part has at most 5 MB, a trip 20 MB.")
@blueprint.alt_response(422, description="No such number, or an empty part.")
@blueprint.alt_response(503, description="Many trips are coming in; send it again in a moment.")
def send_part(trip_id: UUID, number: int) -> ResponseReturnValue:
    """Send a part of a trip

    The file of a trip cut anywhere, its parts numbered from 1, in any order. Until all are there
    they are sealed with the device's key. `GET` says which are there; after two days they are
    forgotten.
    """
    _refuse_unclear()
    if not 1 <= number <= MOST_PARTS:
        raise InvalidError(f"Parts are numbered from 1 to {MOST_PARTS}.", field="number")
    upload = Upload(_device(), trip_id)
    storage = _storage()
    with _door().inside(), _worded():
        _boxes_for(upload.device)
        body = _body(MOST_PART_BYTES, PartTooLargeError)
        if not body:
            raise InvalidError("The part is empty.", field="number")
        content = upload.content(body)
        with reading() as session:
            is_known = uploading.known_part(session, upload, number, content)
        name = None if is_known else uploading.staged_part(storage, upload, number, body)
        with transaction() as session:
            is_new = name is not None and uploading.receive_part(
                session,
                upload,
                number,
                content=content,
                size=len(body),
                storage_name=name,
                now=utc_now(),
            )
            stored = uploading.found(session, upload)
            there = uploading.parts(session, upload)
            answer = _trip(upload, stored, there, status=201 if is_new else 200)
    return answer


@blueprint.route("/trips/<uuid:trip_id>/complete", methods=["POST"])
@allow(DEVICE)
@limited(Allowance.TRIP)
@blueprint.arguments(CompletionIn)
@blueprint.response(202, TripOut, description="Taken; the pipeline analyses it.")
@blueprint.alt_response(200, schema=TripOut, description="It was completed before.")
@blueprint.alt_response(404, description="There is none that this device sent.")
@blueprint.alt_response(409, description="Parts are missing (`missing` says which), or too many.")
@blueprint.alt_response(422, description="No trip can be made of it; it ends as refused.")
@blueprint.alt_response(503, description="Many trips are coming in; ask again in a moment.")
def complete_trip(payload: dict[str, Any], trip_id: UUID) -> ResponseReturnValue:
    """Say that all parts of a trip were sent

    From here on it is a trip like one that came whole. What cannot be read is refused for good:
    send it anew under another id. What is said here of research counts before what the trip's own
    document says.
    """
    _refuse_unclear()
    upload = Upload(_device(), trip_id)
    storage = _storage()
    with _door().inside():
        boxes = _boxes_for(upload.device)
        with reading() as session:
            there = uploading.whole(session, upload, payload["parts"])
            if there is None:
                return _trip(upload, uploading.found(session, upload))
        with _worded(), _door().reading():
            try:
                body = uploading.joined(storage, upload, there)
            except PartsMissingError:
                # Somebody who asked for the same was faster, and the parts are forgotten.
                with reading() as session:
                    stored = uploading.found(session, upload)
                    if stored.state != TripState.UPLOADING:
                        return _trip(upload, stored)
                raise
            content = upload.content(body)
            try:
                sent = read_samples(body)
                said = _said(sent)
                made = uploading.prepared(sent, boxes=boxes, now=utc_now())
            except DomainError as error:
                with transaction() as session:
                    uploading.refuse(session, upload, error, content=content)
                uploading.forget_parts(storage, there)
                raise
            del body, sent
        answer = _received(
            upload, made, content, is_research=_consents(payload, said), is_in_parts=True
        )
        uploading.forget_parts(storage, there)
        return answer


def _received(
    upload: Upload,
    made: Prepared,
    content: bytes,
    *,
    is_research: bool,
    is_in_parts: bool = False,
) -> Response:
    """Keep what may be kept of a trip."""
    storage = _storage()
    name = uploading.staged(storage, made)
    receive = uploading.complete if is_in_parts else uploading.receive
    with transaction() as session:
        is_new = receive(
            session,
            upload,
            made,
            content=content,
            storage_name=name,
            is_research=is_research,
            now=utc_now(),
        )
        known = (
            uploading.found(session, upload)
            if is_new or is_in_parts
            else uploading.repeated(session, upload, content)
        )
        assert known is not None
        answer = _trip(upload, known, status=202 if is_new else 200)
    if not is_new and name is not None:
        # Somebody was faster with the same.
        storage.delete(keeping.key_of(keeping.WAITING, name))
    return answer


# -- what a request brings ------------------------------------------------------------------------


def _device() -> Device:
    return Device(device_key(), _secret())


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret


def _storage() -> Storage:
    storage: Storage = current_app.extensions["storage"]
    return storage


def _door() -> Door:
    known = current_app.extensions
    if _DOOR not in known:
        # Two threads that come first together: the second one's is taken by nobody.
        known.setdefault(_DOOR, Door(max(1, known["settings"].web_threads - 1)))
    door: Door = known[_DOOR]
    return door


def _boxes_for(device: Device) -> list[Box]:
    """The boxes of the cities here, for a device whose key is good.

    Raises:
        UnknownDeviceError
    """
    with reading() as session:
        devices.known(session, device, now=utc_now())
        return [place.boundary.box for place in jurisdictions.all_of_them(session)]


def _body(most: int, error: type[TooLargeError] = TooLargeError) -> bytes:
    """The body of the request.

    Raises:
        TooLargeError: of the kind `error`.
    """
    too_large = error(f"At most {most >> 20} MB.")
    if (request.content_length or 0) > most:
        raise too_large
    # One without a length says its size only when it is read: the stream ends at this many bytes,
    # without an error, whether more follow or not.
    request.max_content_length = most + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge as ended:
        raise too_large from ended
    if len(body) > most:
        raise too_large
    return body


def _is_gzip() -> bool:
    """Whether its sender calls the body gzip."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    return encoding == "gzip" or request.mimetype in ("application/gzip", "application/x-gzip")


def _refuse_unclear(known: frozenset[str] = frozenset()) -> None:
    """Refuse a query that can be read in two ways: `research=true&research=false`.

    Raises:
        PayloadError: names what is not known, or stands twice.
    """
    _refuse_unknown(request.args, known)
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        raise PayloadError({name: ["Say it once."] for name in twice})


def _refuse_unknown(given: Iterable[str], known: frozenset[str] = frozenset()) -> None:
    """Whatever else is said of a trip is no part of it: `reserch=true` is no consent, nor silence.

    Raises:
        PayloadError: names it.
    """
    unknown = sorted(set(given) - known)
    if unknown:
        raise PayloadError({name: ["Unknown field."] for name in unknown[:20]})


def _said(sent: Sent) -> Mapping[str, Any]:
    """What a document says beside the samples.

    Raises:
        PayloadError: names what is not as it should be.
    """
    _refuse_unknown(sent.said, _BESIDE)
    said: Mapping[str, Any] = load(TripIn(only=sorted(_BESIDE)), sent.said)
    return said


def _consents(said_first: Mapping[str, Any], said_else: Mapping[str, Any]) -> bool:
    """Whether research may keep the trace; who says nothing, or null, does not consent."""
    return bool(said_first.get("research", said_else.get("research")))


@contextmanager
def _worded() -> Iterator[None]:
    """Say why a trip is refused in both languages."""
    try:
        yield
    except DomainError as error:
        if error.code in telling.REASONS:
            error.extra.setdefault("texts", dict(telling.reason(error.code)))
        raise


# -- what it is answered --------------------------------------------------------------------------


def _key(made: devices.Made) -> Response:
    answer = jsonify(key=made.key, expires_on=made.expires_on.isoformat())
    answer.status_code = 201
    return answer


def _trip(
    upload: Upload,
    stored: StoredTrip,
    there: list[uploading.Part] | None = None,
    *,
    status: int = 200,
) -> Response:
    state = TripState(stored.state)
    reason = stored.reason
    is_kept = stored.is_research and current_app.extensions["settings"].research_days > 0
    answer = jsonify(
        id=str(upload.given),
        state=state.value,
        texts=dict(telling.state(state, is_kept=is_kept)),
        marks=[_note(mark, telling.MARKS[Mark(mark)]) for mark in stored.marks],
        reason=None if reason is None else _note(reason, telling.reason(reason)),
        bumps=stored.bumps,
        parts=[{"number": part.number, "size": part.size} for part in there or ()],
    )
    answer.status_code = status
    return answer


def _note(code: str, texts: telling.Texts) -> dict[str, Any]:
    return {"code": code, "texts": dict(texts)}
