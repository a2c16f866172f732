"""The server of GeoReport v2: `/open311/v2` for all jurisdictions, `/open311/CODE/v2` for one.

Each view parses, calls, writes. What is read is the public's view; what is sent needs a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, Response, current_app, request
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Rule

from accounts.access import EVERYONE, SIGNED_IN, allow
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError
from core.limits import Allowance, limited
from geo.jurisdictions import JurisdictionRef
from open311 import asking, bulk, calls, intake, places, services, tokens, updates
from open311 import reading as requests
from open311.discovery import discovery
from open311.documents import BULK, Writer
from open311.faults import Fault, Refusal, missing, of_error
from open311.intake import Enclosed
from open311.parameters import Parameters
from open311.places import Endpoint
from open311.reading import Cut
from reports import media
from reports.catalogue import Catalogue, catalogue_of
from reports.history import Author
from reports.intake_schemas import MAX_DESCRIPTION
from reports.listing import Filters
from reports.media import CheckedPhoto
from reports.submission import Caller
from reports.vocabulary import ActorKind, Source

blueprint = Blueprint("open311", __name__)

#: Rows of a list that are written together.
_BATCH = 250

#: Longest `update_id` and `Idempotency-Key`; a UUID has 36 characters.
_LONGEST_ID = 200

#: Where photos come: `media` by custom, `uploads` from open311-adapter.
_MEDIA = ("media", "media[]", "uploads", "uploads[]")

_BASES = ("/open311/v2", "/open311/<jurisdiction>/v2")

_METHODS_OF = {"requests": ("GET", "HEAD", "OPTIONS", "POST")}
_METHODS_OF["servicerequestupdates"] = _METHODS_OF["requests"]


def install(app: Flask) -> None:
    """Add the server's routes, and an answer in the standard's form to every other address."""
    app.register_blueprint(blueprint)


blueprint.register_error_handler(Refusal, calls.on_refusal)
blueprint.register_error_handler(DomainError, calls.on_domain_error)
# By their codes, too: the application's handler of a code goes before a blueprint's of a class.
for _class_or_code in (HTTPException, 404, 405):
    blueprint.register_error_handler(_class_or_code, calls.on_http_error)
blueprint.register_error_handler(OperationalError, calls.on_missing_database)
blueprint.register_error_handler(PoolTimeoutError, calls.on_missing_database)
blueprint.register_error_handler(Exception, calls.on_defect)


def routed(path: str, *methods: str) -> Any:
    """Route a view under both kinds of endpoints, with the format as a suffix and without.

    A view whose path ends in a name takes the suffix off that itself.
    """

    def declare(view: Any) -> Any:
        for base in _BASES:
            for suffix in ("",) if path.endswith(">") else ("", ".<suffix>"):
                blueprint.add_url_rule(
                    f"{base}{path}{suffix}", view.__name__, view, methods=methods
                )
        return view

    return declare


@blueprint.before_request
def _identify() -> None:
    if request.method == "POST":
        calls.identify()


# -- discovery ------------------------------------------------------------------------------------


@routed("/discovery", "GET")
@allow(EVERYONE)
def discover(jurisdiction: str | None = None, suffix: str | None = None) -> Response:
    """Which endpoints there are."""
    form = calls.form_of(suffix)
    endpoint = calls.endpoint(jurisdiction)
    with reading() as session:
        if jurisdiction is not None:
            _place(session, endpoint, calls.parameters())
        found = discovery(session, endpoint)
    return calls.cacheable(form, "discovery", found.document, found.version)


for _path in ("/open311", "/open311/", "/open311/v2/", "/open311/discovery"):
    blueprint.add_url_rule(_path, "discover", discover, methods=("GET",))
blueprint.add_url_rule("/open311/discovery.<suffix>", "discover", discover, methods=("GET",))


# -- services -------------------------------------------------------------------------------------


@routed("/services", "GET")
@allow(EVERYONE)
def list_services(jurisdiction: str | None = None, suffix: str | None = None) -> Response:
    """What can be asked for."""
    form = calls.form_of(suffix)
    with reading() as session:
        place = _place(session, calls.endpoint(jurisdiction), calls.parameters())
        catalogue = catalogue_of(session, place.id)
    document = services.service_list(catalogue, calls.locale() or place.default_locale)
    return calls.cacheable(form, "services", document, _version(place))


@routed("/services/<code>", "GET")
@allow(EVERYONE)
def define_service(code: str, jurisdiction: str | None = None) -> Response:
    """The questions of a service."""
    code, suffix = calls.split(code)
    form = calls.form_of(suffix)
    with reading() as session:
        place = _place(session, calls.endpoint(jurisdiction), calls.parameters())
        catalogue = catalogue_of(session, place.id)
    service = catalogue.by_code.get(code)
    if service is None or service not in services.offered(catalogue):
        raise Refusal([missing("service_code: there is no such service")])
    document = services.definition(service, place, calls.locale() or place.default_locale)
    return calls.cacheable(form, "service_definition", document, _version(place))


# -- filing ---------------------------------------------------------------------------------------


@routed("/requests", "POST")
@allow(SIGNED_IN)
@limited(Allowance.PROGRAM)
def file_request(jurisdiction: str | None = None, suffix: str | None = None) -> Response:
    """Take a service request."""
    form = calls.form_of(suffix)
    sent = calls.parameters()
    endpoint = calls.endpoint(jurisdiction)
    idempotency_key = _idempotency_key(sent)
    with reading() as session:
        point = sent.point()
        place = places.meant(session, endpoint, sent, point)
        catalogue = None if place is None else catalogue_of(session, place.id)
        draft = intake.draft(session, catalogue, sent, point)
    photos = _photos(sent)
    sent.refuse()
    # What is missing without a fault would be a defect of `intake.draft`.
    assert draft is not None
    caller = Caller(
        actor=calls.sender(),
        address=request.remote_addr or "",
        idempotency_key=idempotency_key,
        default_source=Source.OPEN311,
    )
    secret: str = current_app.config["SECRET_KEY"]
    digests = [photo.digest for photo in photos]
    enclosed = Enclosed(
        digests=digests,
        links=intake.links(sent, media.MAX_PHOTOS - len(photos)),
        content=intake.content_of(sent, draft.jurisdiction, caller, digests, secret),
    )
    staged = media.stage(current_app.extensions["storage"], photos) if photos else []
    now = utc_now()
    with transaction() as session:
        receipt = intake.submit(
            session,
            draft,
            caller,
            now=now,
            secret=secret,
            assets=current_app.extensions.get("asset_facts"),
            enclosed=enclosed,
        )
        submitted = receipt.submitted
        if staged and not submitted.is_replay:
            media.insert_staged(
                session,
                submitted.id,
                staged,
                by=Author(ActorKind.REPORTER),
                jurisdiction_id=submitted.jurisdiction.id,
                now=now,
            )
    response = calls.answer(form, "service_requests", [receipt.document(calls.locale())])
    response.headers["Cache-Control"] = "no-store"
    if submitted.is_replay:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@routed("/tokens/<token>", "GET")
@allow(EVERYONE)
def resolve_token(token: str, jurisdiction: str | None = None) -> Response:
    """The request that a batch service's token stands for."""
    token, suffix = calls.split(token)
    form = calls.form_of(suffix)
    with reading() as session:
        place = _place_if_named(session, calls.endpoint(jurisdiction), calls.parameters())
        found = tokens.resolved(session, token, None if place is None else place.id)
    if found is None:
        raise Refusal([missing("token: there is no such token")])
    response = calls.answer(form, "service_requests", [found])
    response.headers["Cache-Control"] = "no-store"
    return response


# -- reading --------------------------------------------------------------------------------------


@routed("/requests", "GET")
@allow(EVERYONE)
def list_requests(jurisdiction: str | None = None, suffix: str | None = None) -> Response:
    """Service requests: by id, or those of a window of time."""
    is_table = suffix == "csv"
    form = calls.form_of(None if is_table else suffix)
    sent = calls.parameters()
    endpoint = calls.endpoint(jurisdiction)
    is_extended = not is_table and sent.flag("extensions")
    now = utc_now()
    with reading() as session:
        if "service_request_id" in sent.values:
            # It overrides everything, whatever is wrong with it.
            sent.faults.clear()
            place = _place_if_named(session, endpoint, sent)
            named = _named(sent, place)
            filters, cut = Filters(), Cut()
        else:
            place = _place(session, endpoint, sent)
            named = None
            filters = asking.filters(sent, place, now, is_bulk=is_table)
            cut = asking.cut(sent, None if is_table else asking.MOST_REQUESTS)
        sent.refuse()
        writer = Writer(endpoint.base_url, calls.locale(), is_extended)
        catalogue = None if place is None else catalogue_of(session, place.id)
        if named is not None:
            rows = requests.by_ids(
                session, catalogue, named[0], numbers=named[1], is_extended=is_extended
            )
        elif is_table:
            assert catalogue is not None
            return calls.table(_table(catalogue, filters, cut, writer))
        else:
            assert catalogue is not None
            rows = requests.by_filters(session, catalogue, filters, cut, is_extended=is_extended)
        writer.learn(session, rows)
    if is_table:
        return calls.table(bulk.table(BULK, map(writer.table, _batches(rows))))
    # The connection is given back before a slow reader has read.
    return calls.stream(form, "service_requests", map(writer.requests, _batches(rows)))


def _batches(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Rows that are written together."""
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))


def _table(catalogue: Catalogue, filters: Filters, cut: Cut, writer: Writer) -> Iterator[str]:
    """A table of any length, read in pieces: no transaction waits for whoever reads it."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]

    def pieces() -> Iterator[Sequence[Any]]:
        if cut.size is not None or requests.has_place(filters):
            with app.app_context(), reading() as session:
                ids = requests.by_place(session, catalogue, filters, cut)
            for part in _batches(ids):
                with app.app_context(), reading() as session:
                    rows = learned(session, requests.by_ids(session, catalogue, part))
                yield rows
            return
        last: requests.Key | None = None
        while True:
            with app.app_context(), reading() as session:
                rows = learned(
                    session,
                    requests.following(session, catalogue, filters, last, asking.MOST_REQUESTS),
                )
            if not rows:
                return
            last = (rows[-1].requested_at, rows[-1].id)
            yield rows

    def learned(session: Session, rows: Sequence[Any]) -> Sequence[Any]:
        writer.learn(session, rows)
        return rows

    return bulk.table(BULK, map(writer.table, pieces()))


@routed("/requests/<report_id>", "GET")
@allow(EVERYONE)
def show_request(report_id: str, jurisdiction: str | None = None) -> Response:
    """One service request, in a list of one."""
    name, suffix = calls.split(report_id)
    form = calls.form_of(suffix)
    sent = calls.parameters()
    endpoint = calls.endpoint(jurisdiction)
    is_extended = sent.flag("extensions")
    sent.refuse()
    with reading() as session:
        place = _place_if_named(session, endpoint, sent)
        catalogue = None if place is None else catalogue_of(session, place.id)
        ids, numbers = asking.ids([name])
        rows = requests.by_ids(session, catalogue, ids, numbers=numbers, is_extended=is_extended)
        writer = Writer(endpoint.base_url, calls.locale(), is_extended)
        writer.learn(session, rows)
    documents = writer.requests(rows)
    if not documents:
        raise Refusal([missing("service_request_id: there is no such service request")])
    response = calls.answer(form, "service_requests", documents)
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag(weak=True)
    response.make_conditional(request)
    return response


# -- updates --------------------------------------------------------------------------------------


@routed("/servicerequestupdates", "GET")
@allow(EVERYONE)
def list_updates(jurisdiction: str | None = None, suffix: str | None = None) -> Response:
    """What happened to service requests in a window of time."""
    form = calls.form_of(suffix)
    sent = calls.parameters()
    with reading() as session:
        place = _place(session, calls.endpoint(jurisdiction), sent)
        since, until = sent.moment("start_date"), sent.moment("end_date")
        cut = asking.cut(sent, asking.MOST_REQUESTS)
        is_extended = sent.flag("extensions")
        ids = None
        if "service_request_id" in sent.values:
            ids = requests.ids_of(session, place.id, *_named(sent, place))
        if since is not None and until is not None and since > until:
            sent.fault("end_date: it lies before start_date")
        sent.refuse()
        assert cut.size is not None
        found = updates.listed(
            session,
            catalogue_of(session, place.id),
            updates.Window(
                since=since,
                until=asking.after(until),
                report_ids=ids,
                is_newest_first=since is None,
                skip=cut.skip,
                size=cut.size,
            ),
            is_extended=is_extended,
        )
    response = calls.answer(form, "service_request_updates", found)
    response.headers["Cache-Control"] = "no-cache"
    return response


@routed("/servicerequestupdates", "POST")
@allow(SIGNED_IN)
@limited(Allowance.PROGRAM)
def file_update(jurisdiction: str | None = None, suffix: str | None = None) -> Response:
    """Take an update of a service request from another system."""
    form = calls.form_of(suffix)
    sent = calls.parameters()
    with reading() as session:
        place = _place_if_named(session, calls.endpoint(jurisdiction), sent)
        report_ids: Sequence[UUID] = ()
        if "service_request_id" not in sent.values:
            sent.fault("service_request_id was not provided")
        else:
            report_ids = requests.ids_of(
                session, None if place is None else place.id, *asking.ids([sent.text(_ID) or ""])
            )
            if len(report_ids) != 1:
                sent.faults.append(missing("service_request_id: there is no such service request"))
    update_id = sent.text("update_id")
    if update_id is not None and len(update_id) > _LONGEST_ID:
        sent.fault(f"update_id: it has more than {_LONGEST_ID} characters")
    description = sent.words("description", MAX_DESCRIPTION)
    status = sent.text("status")
    photos = _photos(sent)
    links = intake.links(sent, media.MAX_PHOTOS - len(photos))
    if not (description or status or photos or links or sent.faults):
        sent.fault("an update says something: status, description, media_url or several of them")
    sent.refuse()
    staged = media.stage(current_app.extensions["storage"], photos) if photos else []
    update = updates.Sent(report_ids[0], update_id, status, description, staged, links)
    with transaction() as session:
        our_id = updates.receive(session, update, calls.sender(), now=utc_now())
    response = calls.answer(form, "service_request_updates", [{"update_id": our_id}])
    response.headers["Cache-Control"] = "no-store"
    return response


# -- everything else ------------------------------------------------------------------------------


@allow(EVERYONE)
def nothing_here(rest: str) -> Response:
    """No such address, or no such way to call one."""
    name = rest.rpartition("/")[2].partition(".")[0]
    is_known = name in _RESOURCES or any(f"/{each}/" in f"/{rest}" for each in _RESOURCES)
    if not is_known or request.method in ("GET", "HEAD"):
        raise NotFound("There is nothing at this address.")
    raise MethodNotAllowed(_METHODS_OF.get(name, ("GET", "HEAD", "OPTIONS")))


_RESOURCES = frozenset({"discovery", "services", "requests", "tokens", "servicerequestupdates"})


class _Anything(BaseConverter):
    """The rest of a path, line ends included."""

    regex = r"[\s\S]*"
    part_isolating = False


@blueprint.record
def _catch_the_rest(state: Any) -> None:
    """Answer whatever else begins with our path, by any method."""
    app: Flask = state.app
    app.view_functions["open311.nothing_here"] = nothing_here
    app.url_map.converters["anything"] = _Anything
    rule = Rule("/open311/<anything:rest>", endpoint="open311.nothing_here", methods=None)
    app.url_map.add(rule)


# -- parameters -----------------------------------------------------------------------------------

_ID = "service_request_id"


def _place(session: Session, endpoint: Endpoint, sent: Parameters) -> JurisdictionRef:
    """The jurisdiction that is meant.

    Raises:
        Refusal: none is, or several may be; with whatever else is wrong.
    """
    place = places.meant(session, endpoint, sent)
    if place is None:
        raise Refusal(sent.faults)
    return place


def _place_if_named(
    session: Session, endpoint: Endpoint, sent: Parameters
) -> JurisdictionRef | None:
    """The jurisdiction that is meant; None where an id alone says enough.

    Raises:
        Refusal: there is none of that name.
    """
    place = places.if_named(session, endpoint, sent)
    if place is None and places.named(endpoint, sent) is not None:
        raise Refusal(sent.faults)
    return place


def _version(place: JurisdictionRef) -> str:
    return f"{place.code}-{place.version}"


def _named(sent: Parameters, place: JurisdictionRef | None) -> tuple[Sequence[UUID], Sequence[int]]:
    """Ids and short numbers that were asked for; a number says nothing without a jurisdiction."""
    listed = sent.listed(_ID)
    if len(listed) > asking.MOST_REQUESTS:
        sent.fault(f"{_ID}: at most {asking.MOST_REQUESTS} at once")
    ids, numbers = asking.ids(listed)
    return ids, numbers if place is not None else ()


def _idempotency_key(sent: Parameters) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= _LONGEST_ID:
        sent.fault(f"Idempotency-Key: it must have 1 to {_LONGEST_ID} characters")
        return None
    return key


def _photos(sent: Parameters) -> list[CheckedPhoto]:
    """The photos that came; a field of a form that was left empty is none."""
    files = [file for name in _MEDIA for file in request.files.getlist(name) if _is_there(file)]
    try:
        return media.check_photos([file.stream for file in files])
    except DomainError as error:
        sent.faults.extend(Fault(400, fault.description) for fault in of_error(error))
        return []


def _is_there(file: FileStorage) -> bool:
    if file.filename:
        return True
    there = bool(file.stream.read(1))
    file.stream.seek(0)
    return there
