"""`address_id` and `zipcode`: the city's own, shown where they are known, and taken back."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.text import fold
from geo.cells import cell_of
from geo.measures import Point
from geo.models import Address
from reports import locating
from reports.models import ServiceRequest
from tests.factories import stored
from tests.open311.conftest import Open311, Town, read

#: code, number, suffix, street, postcode, locality, place: streets with one code, a house with a
#: code of its own, two streets of the same name, a square without numbers.
FILE = [
    ("2546", 118, "", "Rue Bernard Blier", "34080", None, (43.5875, 3.8614)),
    ("2546", 183, "", "Rue Bernard Blier", "34080", None, (43.5905, 3.8620)),
    ("2546", 183, "bis", "Rue Bernard Blier", "34080", None, (43.5935, 3.8620)),
    ("34172_0123_00012", 12, "", "Rue Foch", "34000", None, (43.6115, 3.8714)),
    ("71", 4, "", "Rue de l'Église", "34000", "Celleneuve", (43.6150, 3.8300)),
    ("71", 6, "", "Rue de l'Église", "34000", "Celleneuve", (43.6160, 3.8300)),
    ("72", 4, "", "Rue de l'Église", "34090", "Grabels", (43.6300, 3.8500)),
    ("72", 6, "", "Rue de l'Église", "34090", "Grabels", (43.6310, 3.8500)),
    ("9", None, "", "Place de la Comédie", None, None, (43.6085, 3.8796)),
    (None, 1, "", "Rue sans code", None, None, (43.6200, 3.8900)),
]


@pytest.fixture
def addresses(session: Session, town: Town) -> None:
    for code, number, suffix, street, postcode, locality, (lat, lon) in FILE:
        session.add(
            Address(
                jurisdiction_id=town.city.id,
                code=code,
                number=number,
                suffix=suffix,
                street=street,
                street_key=fold(street),
                postcode=postcode,
                locality=locality,
                lat=lat,
                lon=lon,
                cell=cell_of(Point(lat, lon)),
            )
        )
    session.flush()


def shown(open311: Open311, session: Session, **form: Any) -> dict[str, Any]:
    """A request that was filed and located, as its list shows it."""
    id_ = open311.file(**form)["service_request_id"]
    locating.locate(session, [row.id for row in stored(session, ServiceRequest)], now=utc_now())
    session.expire_all()
    [document] = open311.get("requests.json", service_request_id=id_).json
    return dict(document)


@pytest.mark.parametrize(
    ("place", "address", "address_id", "zipcode"),
    [
        ((43.5875, 3.8614), "118 Rue Bernard Blier", "2546-118", "34080"),
        ((43.5935, 3.8620), "183 bis Rue Bernard Blier", "2546-183bis", "34080"),
        ((43.6115, 3.8714), "12 Rue Foch", "34172_0123_00012", "34000"),
        ((43.6150, 3.8300), "4 Rue de l'Église", "71-4", "34000"),
        ((43.6300, 3.8500), "4 Rue de l'Église", "72-4", "34090"),
        ((43.6085, 3.8796), "Place de la Comédie", "9", None),
        ((43.6200, 3.8900), "1 Rue sans code", None, None),
        ((43.6000, 3.8000), None, None, None),
    ],
)
def test_a_list_shows_the_address_and_its_id_leads_there(
    open311: Open311,
    session: Session,
    addresses: None,
    place: tuple[float, float],
    address: str | None,
    address_id: str | None,
    zipcode: str | None,
) -> None:
    document = shown(open311, session, lat=place[0], long=place[1])
    assert (document["address"], document["address_id"], document["zipcode"]) == (
        address,
        address_id,
        zipcode,
    )
    if address_id is None:
        return
    back = shown(open311, session, lat="", long="", address_id=address_id, description="Encore.")
    assert [back[name] for name in ("address", "address_id", "zipcode")] == [
        address,
        address_id,
        zipcode,
    ]
    assert (back["lat"], back["long"]) == pytest.approx(place)


def test_a_street_alone_is_kept_in_words_and_waits_for_a_place(
    open311: Open311, session: Session, addresses: None
) -> None:
    document = shown(open311, session, lat="", long="", address_id="2546")
    assert (document["lat"], document["address_id"]) == (None, None)
    [report] = stored(session, ServiceRequest)
    assert report.address_given == "Rue Bernard Blier, 34080"


def test_a_position_that_was_sent_goes_before_that_of_the_address(
    open311: Open311, session: Session, addresses: None
) -> None:
    document = shown(open311, session, address_id="2546-118", lat=43.6115, long=3.8714)
    assert document["address_id"] == "34172_0123_00012"


def test_an_address_outside_the_city_is_kept_in_words(
    open311: Open311, session: Session, town: Town
) -> None:
    session.add(
        Address(
            jurisdiction_id=town.city.id,
            code="far",
            number=1,
            suffix="",
            street="Rue Loin",
            street_key="rue loin",
            lat=48.0,
            lon=2.0,
            cell=cell_of(Point(48.0, 2.0)),
        )
    )
    session.flush()
    assert shown(open311, session, lat="", long="", address_id="far")["lat"] is None


def test_where_only_the_block_is_shown_the_house_is_not_named(
    open311: Open311, session: Session, addresses: None
) -> None:
    document = shown(open311, session, service_code="vehicule", lat=43.5875, long=3.8614)
    assert "118" not in (document["address"] or "")
    assert (document["address_id"], document["zipcode"]) == (None, "34080")


def test_xml_says_the_same(open311: Open311, session: Session, addresses: None) -> None:
    shown(open311, session, lat=43.5875, long=3.8614)
    [document] = read(open311.get("requests.xml"))
    assert (document["address_id"], document["zipcode"]) == ("2546-118", "34080")


def test_an_address_that_is_taken_out_takes_its_id_along(
    open311: Open311, session: Session, addresses: None
) -> None:
    from reports import anonymising

    shown(open311, session, lat=43.5875, long=3.8614, service_code="vehicule")
    [report] = stored(session, ServiceRequest)
    assert report.address_id == "2546-118"
    anonymising.anonymise(session, [report.id], now=utc_now())
    [report] = stored(session, ServiceRequest)
    assert (report.address, report.address_id) == ("Rue Bernard Blier", None)
