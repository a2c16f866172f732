"""POST requests: what is taken, in which forms, what is refused and in which words; tokens."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from accounts import keys
from core.clock import utc_now
from geo import jurisdictions
from geo.cells import cell_of
from geo.measures import Point
from geo.models import Address
from reports.models import Follower, Photo, ServiceRequest
from tests.factories import COMEDIE, new_jurisdiction, new_person, new_service
from tests.open311.conftest import ANSWERS, URL, Open311, Town, read

HERE = {"lat": str(COMEDIE.lat), "long": str(COMEDIE.lon)}


def stored(session: Session, document: dict[str, Any]) -> ServiceRequest:
    return session.get_one(ServiceRequest, UUID(document["service_request_id"]))


def said(answer: Any) -> str:
    return " | ".join(each["description"] for each in answer.json)


def test_a_request_is_stored_and_answered_with_its_id(open311: Open311, session: Session) -> None:
    document = open311.file(description="Un grand trou.", email="Ana@Exemple.org")
    assert set(document) == {"service_request_id", "service_notice", "account_id"}
    report = stored(session, document)
    assert (report.description, report.source) == ("Un grand trou.", "open311")
    assert (report.lat, report.lon) == (COMEDIE.lat, COMEDIE.lon)
    [reporter] = session.scalars(sa.select(Follower)).all()
    # The contact is the citizen's, not that of the program's owner.
    assert (reporter.email, reporter.person_id) == ("ana@exemple.org", None)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "multipart/form-data",
    ],
)
@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_every_form_that_clients_send_is_read(
    client: FlaskClient, town: Town, session: Session, content_type: str, suffix: str
) -> None:
    form = {"api_key": town.key, "service_code": "nid-de-poule", "description": "Été à Sète"}
    answer = client.post(
        f"{URL}/requests.{suffix}", data={**form, **HERE}, content_type=content_type
    )
    assert answer.status_code == 200
    [document] = read(answer)
    assert stored(session, document).description == "Été à Sète"
    assert answer.mimetype == ("application/json" if suffix == "json" else "text/xml")


@pytest.mark.parametrize("where", ["form", "query", "header", "lower-case header"])
def test_the_key_is_taken_where_clients_put_it(client: FlaskClient, town: Town, where: str) -> None:
    form = {"service_code": "nid-de-poule", **HERE}
    headers, query = {}, {}
    if where == "form":
        form["api_key"] = town.key
    elif where == "query":
        query["api_key"] = town.key
    else:
        scheme = "Bearer" if where == "header" else "bearer"
        headers["Authorization"] = f"{scheme} {town.key}"
    answer = client.post(f"{URL}/requests.json", data=form, query_string=query, headers=headers)
    assert answer.status_code == 200, answer.json


@pytest.mark.parametrize("key", ["", "rvk_wrong", "rvs_wrong", "\0", "é" * 300])
def test_a_missing_or_wrong_key_is_403_and_nothing_else_is_said(
    client: FlaskClient, town: Town, key: str
) -> None:
    form = {"api_key": key, "service_code": "x"}
    answer: Any = client.post(f"{URL}/requests.json", data=form)
    assert answer.status_code == 403
    assert [each["code"] for each in answer.json] == [403]
    as_xml = client.post(f"{URL}/requests.xml", headers={"Authorization": f"Bearer {'x' * 9}"})
    assert (as_xml.status_code, as_xml.mimetype) == (403, "text/xml")
    assert read(as_xml)[0]["code"] == "403"


def test_a_session_is_no_key(client: FlaskClient, town: Town, session: Session) -> None:
    from tests.factories import new_citizen

    somebody = new_citizen(session)
    answer = client.post(f"{URL}/requests.json", data=HERE, headers=somebody.headers)
    assert answer.status_code == 403


def test_a_revoked_key_is_403(open311: Open311, session: Session, town: Town) -> None:
    from accounts.models import ApiKey

    session.execute(sa.update(ApiKey).values(revoked_at=utc_now()))
    assert open311.post(service_code="nid-de-poule", **HERE).status_code == 403


def test_the_jurisdiction_goes_into_body_query_or_path_or_a_position_says_it(
    open311: Open311, client: FlaskClient, session: Session, town: Town
) -> None:
    far = Point(48.85, 2.35)
    other = new_jurisdiction(session, code="paris", centre=far)
    new_service(session, other, code="nid-de-poule")
    jurisdictions.forget()
    form = {"api_key": town.key, "service_code": "nid-de-poule"}
    by_address = {**form, "address_string": "1 rue Foch"}
    for answer in (
        client.post(f"{URL}/requests.json", data={**by_address, "jurisdiction_id": "paris"}),
        client.post(f"{URL}/requests.json?jurisdiction_id=paris", data=by_address),
        client.post("/open311/paris/v2/requests.json", data=by_address),
        client.post(f"{URL}/requests.json", data={**form, "lat": far.lat, "long": far.lon}),
    ):
        assert answer.status_code == 200, answer.json
        assert stored(session, answer.json[0]).jurisdiction_id == other.id
    nowhere = client.post(f"{URL}/requests.json", data=by_address)
    assert nowhere.status_code == 400
    assert "jurisdiction_id was not provided" in said(nowhere)
    unknown = client.post(f"{URL}/requests.json", data={**by_address, "jurisdiction_id": "x"})
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    "location",
    [
        HERE,
        {"address_string": "12 rue Foch"},
        {"address_id": "2546-118"},
        {"address_id": "2546"},
        {**HERE, "address_string": "12 rue Foch"},
        {**HERE, "address_id": "unheard of"},
        {"lat": "", "long": "", "address_string": "12 rue Foch"},
    ],
)
def test_each_way_to_say_where_is_enough(
    open311: Open311, session: Session, town: Town, location: dict[str, str]
) -> None:
    for number in (118, 183):
        session.add(
            Address(
                jurisdiction_id=town.city.id,
                code="2546",
                number=number,
                suffix="",
                street="Rue Bernard Blier",
                street_key="rue bernard blier",
                lat=43.58,
                lon=3.86,
                cell=cell_of(Point(43.58, 3.86)),
            )
        )
    session.flush()
    answer = open311.post(service_code="nid-de-poule", **location)
    assert answer.status_code == 200, answer.json
    report = stored(session, answer.json[0])
    if location == {"address_id": "2546-118"}:
        assert report.address_given == "118 Rue Bernard Blier"
    if location == {"address_id": "2546"}:
        assert report.address_given == "Rue Bernard Blier"


def test_every_datatype_is_taken_and_stored_in_one_form(open311: Open311, session: Session) -> None:
    answer = open311.post(service_code="questions", **HERE, also=ANSWERS)
    assert answer.status_code == 200, answer.json
    assert stored(session, answer.json[0]).attributes == {
        "line": "Ligne 1",
        "count": 12,
        "seen": "2026-03-01T08:00:00+01:00",
        "story": "D’abord ceci,\npuis cela.",
        "one": "a",
        "many": ["a", "b"],
    }


@pytest.mark.parametrize(
    "many",
    [
        {"attribute[many]": ["a", "b"]},
        {"attribute[many][]": ["a", "b"]},
        {"attribute[many][0]": "a", "attribute[many][1]": "b"},
    ],
)
def test_several_choices_come_as_clients_write_them(
    open311: Open311, session: Session, many: dict[str, Any]
) -> None:
    answers = {name: value for name, value in ANSWERS.items() if "many" not in name}
    answer = open311.post(service_code="questions", **HERE, also={**answers, **many})
    assert answer.status_code == 200, answer.json
    assert stored(session, answer.json[0]).attributes["many"] == ["a", "b"]


def test_every_fault_is_told_at_once_and_attributes_by_their_codes(open311: Open311) -> None:
    answer = open311.post(
        service_code="questions",
        lat="north",
        long=COMEDIE.lon,
        email="nobody",
        description="x" * 4001,
        also={"attribute[count]": "many", "attribute[one]": "z", "attribute[unasked]": "1"},
    )
    assert answer.status_code == 400
    assert {each["code"] for each in answer.json} == {400}
    told = said(answer)
    for name in ("lat", "email", "description", *(f"attribute[{c}]" for c in QUESTION_CODES)):
        assert f"{name}:" in told, name
    # What the service does not ask is not looked at.
    assert "unasked" not in told


QUESTION_CODES = ("line", "count", "seen", "story", "one", "many")


@pytest.mark.parametrize(
    ("form", "status", "names"),
    [
        ({**HERE}, 400, "service_code was not provided"),
        ({**HERE, "service_code": " "}, 400, "service_code was not provided"),
        ({**HERE, "service_code": "dragons"}, 404, "service_code"),
        ({**HERE, "service_code": "dragons", "email": "x"}, 404, "email"),
        ({"service_code": "nid-de-poule"}, 400, "location"),
        ({"service_code": "nid-de-poule", "lat": "43.6"}, 400, "long"),
        ({"service_code": "nid-de-poule", "long": "3.8"}, 400, "lat"),
        ({"service_code": "nid-de-poule", "lat": "91", "long": "3"}, 400, "lat"),
        ({"service_code": "nid-de-poule", "lat": "NaN", "long": "3"}, 400, "lat"),
        ({"service_code": "nid-de-poule", "lat": "1e999", "long": "3"}, 400, "lat"),
        ({"service_code": "nid-de-poule", "lat": "48.85", "long": "2.35"}, 400, "lat"),
        ({"service_code": "nid-de-poule", "address_id": "7"}, 400, "address_id"),
        ({"service_code": "nid-de-poule", "address_string": "x" * 301}, 400, "address_string"),
    ],
)
def test_what_is_wrong_is_named(
    open311: Open311, form: dict[str, str], status: int, names: str
) -> None:
    answer = open311.post(**form)
    assert answer.status_code == status
    assert names in said(answer)


def test_a_description_of_4000_characters_is_kept_as_it_was_written(open311: Open311) -> None:
    text = ("<b>Trou</b> & bosse \"ici\"\n\n\t— là ; ]]> <script>alert('é')</script> 🕳️\n" * 99)[
        :4000
    ]
    id_ = open311.file(description=text)["service_request_id"]
    assert open311.get(f"requests/{id_}.json").json[0]["description"] == text
    assert read(open311.get(f"requests/{id_}.xml"))[0]["description"] == text


def test_control_characters_cannot_break_a_later_list(open311: Open311) -> None:
    open311.file(description="a\x00b\x0bc\x1bd\x7fe\ufffef", address_string="12\x0c rue Foch")
    [shown] = read(open311.get("requests.xml"))
    assert shown["description"] == "abcdef"
    assert open311.get("requests.json").json[0]["description"] == "abcdef"


def test_what_nobody_knows_is_ignored_and_empty_is_not_sent(
    open311: Open311, session: Session
) -> None:
    document = open311.file(
        device_id="tt222111",
        account_id="123456",
        media_url="http://example.org/x.jpg",
        title="Trou",
        phone="call me",
        first_name="john",
        last_name="=smith()",
        email="",
        address_string="",
        also={"attribute[unasked]": "1", "attribute[]": "2", "attribute": "3"},
    )
    report = stored(session, document)
    assert report.address_given is None
    assert report.attributes == {}
    # A number that cannot be dialled and a name that is none are left out.
    assert session.scalars(sa.select(Follower)).all() == []


def photo() -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "grey").save(file, "JPEG")
    file.seek(0)
    return file


def test_photos_come_as_media(open311: Open311, session: Session) -> None:
    answer = open311.post(
        service_code="nid-de-poule", **HERE, media=[(photo(), "a.jpg"), (photo(), "b.jpg")]
    )
    assert answer.status_code == 200, answer.json
    assert len(session.scalars(sa.select(Photo)).all()) == 2


def test_a_file_that_is_no_photo_is_refused_and_an_empty_field_is_none(
    open311: Open311, session: Session
) -> None:
    answer = open311.post(
        service_code="nid-de-poule", email="x", **HERE, media=(io.BytesIO(b"<html>"), "a.jpg")
    )
    assert answer.status_code == 400
    assert "media" in said(answer)
    assert "email" in said(answer)
    assert session.scalars(sa.select(ServiceRequest)).all() == []
    empty = open311.post(service_code="nid-de-poule", **HERE, media=(io.BytesIO(b""), ""))
    assert empty.status_code == 200


def test_the_same_content_under_one_key_is_stored_once(
    client: FlaskClient, town: Town, session: Session
) -> None:
    form = {"api_key": town.key, "service_code": "nid-de-poule", **HERE}

    def send(key: str, **others: str) -> Any:
        return client.post(
            f"{URL}/requests.json", data=form | others, headers={"Idempotency-Key": key}
        )

    first, again = send("one"), send("one")
    assert first.json == again.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert send("two").json != first.json
    other = send("one", description="Autre chose")
    assert other.status_code == 400
    person = new_person(session)
    foreign = keys.create_key(session, person.email or "", "b", now=utc_now())
    assert send("one", api_key=foreign).json != first.json
    assert send("x" * 201).status_code == 400
    assert len(session.scalars(sa.select(ServiceRequest)).all()) == 3


def test_a_batch_service_answers_a_token_that_leads_to_the_id(
    open311: Open311, session: Session
) -> None:
    document = open311.file("encombrants")
    assert set(document) == {"token", "service_notice", "account_id"}
    token = document["token"]
    found = open311.get(f"tokens/{token}.json")
    [resolved] = found.json
    assert resolved["token"] == token
    assert stored(session, resolved).service_id is not None
    assert read(open311.get(f"tokens/{token}.xml")) == [resolved]
    for wrong in (token[:-1], token + "A", str(uuid4()), "%00", "a" * 5000):
        assert open311.get(f"tokens/{wrong}.json").status_code == 404, wrong


def test_a_token_is_of_its_own_jurisdiction(open311: Open311, session: Session, town: Town) -> None:
    new_jurisdiction(session, code="sete", centre=Point(43.4, 3.4))
    jurisdictions.forget()
    token = open311.file("encombrants")["token"]
    assert open311.get(f"tokens/{token}.json").status_code == 200
    for code, status in (("montpellier", 200), ("sete", 404), ("x", 404)):
        answer = open311.get(f"tokens/{token}.json", jurisdiction_id=code)
        assert answer.status_code == status


def test_a_black_box_answers_neither_id_nor_token_and_is_shown_to_nobody(
    open311: Open311, session: Session
) -> None:
    document = open311.file("logement")
    assert set(document) == {"service_notice", "account_id"}
    assert document["service_notice"]
    [report] = session.scalars(sa.select(ServiceRequest)).all()
    assert open311.get("requests.json").json == []
    assert open311.get(f"requests/{report.id}.json").status_code == 404
    assert open311.get("requests.json", service_request_id=str(report.id)).json == []
    assert open311.get("requests.json", lat=COMEDIE.lat, long=COMEDIE.lon).json == []
    assert open311.get("servicerequestupdates.json").json == []


def test_words_that_may_name_somebody_wait_for_a_reader(open311: Open311) -> None:
    document = open311.file(description="Appelez-moi au 06 12 34 56 78.")
    assert "relecture" in document["service_notice"]
    assert open311.get(f"requests/{document['service_request_id']}.json").status_code == 404
    assert open311.get("requests.json").json == []


def test_a_blocked_sender_is_403(open311: Open311, session: Session, town: Town) -> None:
    from accounts import blocks
    from accounts.models import Block, Person
    from accounts.rules import BlockKind

    person = session.scalars(sa.select(Person)).one()
    session.add(
        Block(
            jurisdiction_id=town.city.id,
            kind=BlockKind.PERSON.value,
            person_id=person.id,
            reason="abuse",
            created_at=utc_now(),
        )
    )
    session.flush()
    blocks.forget()
    assert open311.post(service_code="nid-de-poule", **HERE).status_code == 403


def test_of_a_parameter_sent_twice_the_first_that_says_something_counts(
    client: FlaskClient, town: Town, session: Session
) -> None:
    form = MultiDict(
        [
            ("api_key", town.key),
            ("service_code", ""),
            ("service_code", "nid-de-poule"),
            *HERE.items(),
        ]
    )
    answer = client.post(f"{URL}/requests.json?description=query&service_code=x", data=form)
    assert answer.status_code == 200, answer.json
    assert stored(session, answer.json[0]).description == "query"
