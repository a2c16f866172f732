"""Geocoders on the network, asked through geopy: Nominatim, the French BAN, Photon.

Each answers one question with a place or with why there is none, and never raises for what a
foreign server does. Which of them is asked, and when, is the business of `geo.geocoding`. They call
through `core.outgoing`, like everything that calls a foreign server: at the address that was
checked, without redirects, within a time and a size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from geopy.adapters import AdapterHTTPError, BaseSyncAdapter
from geopy.exc import GeocoderParseError, GeocoderUnavailable, GeopyError
from geopy.geocoders import BANFrance, Nominatim, Photon

from core.outgoing import Allowance, Outgoing, OutgoingError
from core.text import clean
from geo.geocoding import (
    NOT_FOUND,
    UNAVAILABLE,
    AddressQuestion,
    Answer,
    Geocoder,
    Outcome,
    Place,
    PositionQuestion,
)
from geo.measures import Box, Point, distance_m

#: The public Nominatim asks for at most one question a second
#: (operations.osmfoundation.org/policies/nominatim).
_PUBLIC_NOMINATIM = "nominatim.openstreetmap.org"
_PUBLIC_NOMINATIM_PAUSE_S = 1.0

#: An answer to a position farther away than this names another street.
_REVERSE_MAX_M = 150.0


#: Longer than any list of places that is asked for here.
_MAX_BYTES = 1024 * 1024


def through_the_door(allow: Allowance) -> Callable[..., BaseSyncAdapter]:
    """How geopy's geocoders call here; `allow` names hosts that need not be public."""

    class Adapter(BaseSyncAdapter):
        """geopy's HTTP client, made of ours."""

        def get_text(self, url: str, *, timeout: float, headers: Mapping[str, str]) -> str:
            """What stands at `url`; raises what geopy expects of its clients."""
            try:
                with Outgoing(allow=allow, timeout_s=timeout, max_bytes=_MAX_BYTES) as outgoing:
                    answer = outgoing.request("GET", url, headers=headers)
            except OutgoingError as error:
                raise GeocoderUnavailable(str(error)) from error
            text = answer.body.decode("utf-8", "replace")
            if answer.status != 200:
                raise AdapterHTTPError(
                    f"status {answer.status}",
                    status_code=answer.status,
                    headers=dict(answer.headers),
                    text=text,
                )
            return text

        def get_json(self, url: str, *, timeout: float, headers: Mapping[str, str]) -> Any:
            """The same as JSON."""
            try:
                return json.loads(self.get_text(url, timeout=timeout, headers=headers))
            except ValueError as error:
                raise GeocoderParseError("no JSON") from error

    return Adapter


class NominatimGeocoder:
    """Nominatim: OpenStreetMap, the whole world."""

    name = "nominatim"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._client = Nominatim(**options)
        is_public = options.get("domain", _PUBLIC_NOMINATIM) == _PUBLIC_NOMINATIM
        self.pause_s = _PUBLIC_NOMINATIM_PAUSE_S if is_public else 0.0

    def forward(self, question: AddressQuestion) -> Answer:
        box = question.box
        # A box across the antimeridian has no form that Nominatim takes; its places are checked.
        view = {} if box.crosses_antimeridian else {"viewbox": _corners(box), "bounded": True}
        return _forward(
            question,
            lambda: self._client.geocode(
                question.text,
                addressdetails=True,
                language=question.language,
                country_codes=question.country.lower(),
                **view,
            ),
            self._place,
        )

    def reverse(self, question: PositionQuestion) -> Answer:
        return _reverse(
            question,
            lambda: self._client.reverse(
                (question.point.lat, question.point.lon),
                zoom=18,
                language=question.language,
            ),
            self._place,
        )

    def _place(self, location: Any) -> Place:
        details = location.raw.get("address", {})
        number = _text(details, "house_number")
        street = _text(details, "road", "pedestrian", "footway", "square", "path")
        return Place(
            point=Point(location.latitude, location.longitude),
            label=_label(number, street, location.address),
            source=self.name,
            accuracy_m=10.0 if number else 100.0,
            confidence=0.9 if number else 0.6,
            street=street,
            house_number=number,
            postcode=_text(details, "postcode"),
            locality=_text(details, "city", "town", "village", "municipality"),
        )


#: What the Base Adresse Nationale calls a match, and how far off it may be.
_BAN_ACCURACY_M = {"housenumber": 10.0, "street": 100.0, "locality": 500.0}


class BanGeocoder:
    """The Base Adresse Nationale: every address of France."""

    name = "ban"
    pause_s = 0.0

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._client = BANFrance(**options)

    def forward(self, question: AddressQuestion) -> Answer:
        # It takes no box, and five towns may have the street: the first inside is meant.
        return _forward(
            question,
            lambda: self._client.geocode(question.text, limit=5, exactly_one=False),
            self._place,
        )

    def reverse(self, question: PositionQuestion) -> Answer:
        return _reverse(
            question,
            lambda: self._client.reverse((question.point.lat, question.point.lon)),
            self._place,
        )

    def _place(self, location: Any) -> Place:
        details = location.raw["properties"]
        return replace(
            _place_of_feature(location, self.name),
            accuracy_m=_BAN_ACCURACY_M.get(details.get("type", ""), 1000.0),
            confidence=min(1.0, max(0.0, float(details.get("score", 0.5)))),
        )


class PhotonGeocoder:
    """Photon: OpenStreetMap, made for incomplete addresses."""

    name = "photon"
    pause_s = 0.0

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._client = Photon(**options)

    def forward(self, question: AddressQuestion) -> Answer:
        box = question.box
        view = {} if box.crosses_antimeridian else {"bbox": _corners(box)}
        return _forward(
            question,
            lambda: self._client.geocode(
                question.text, limit=5, exactly_one=False, language=question.language, **view
            ),
            self._place,
        )

    def reverse(self, question: PositionQuestion) -> Answer:
        return _reverse(
            question,
            lambda: self._client.reverse(
                (question.point.lat, question.point.lon), language=question.language
            ),
            self._place,
        )

    def _place(self, location: Any) -> Place:
        return _place_of_feature(location, self.name)


KINDS: dict[str, Callable[[Mapping[str, Any]], Geocoder]] = {
    "nominatim": NominatimGeocoder,
    "ban": BanGeocoder,
    "photon": PhotonGeocoder,
}

#: What a foreign server can do to us: fail, or answer in a form that its own client cannot read.
_THEIR_FAULTS = (GeopyError, AttributeError, IndexError, KeyError, TypeError, ValueError)


def _forward(
    question: AddressQuestion, call: Callable[[], Any], place_of: Callable[[Any], Place]
) -> Answer:
    answer, places = _called(call, place_of)
    for place in places:
        if question.box.contains(place.point):
            return Answer(Outcome.FOUND, place)
    return answer


def _reverse(
    question: PositionQuestion, call: Callable[[], Any], place_of: Callable[[Any], Place]
) -> Answer:
    answer, places = _called(call, place_of)
    for place in places:
        if distance_m(question.point, place.point) <= _REVERSE_MAX_M:
            return Answer(Outcome.FOUND, place)
    return answer


def _called(
    call: Callable[[], Any], place_of: Callable[[Any], Place]
) -> tuple[Answer, Sequence[Place]]:
    """The places of one call, and the answer if none of them will do."""
    try:
        located = call()
        if located is None:
            return NOT_FOUND, ()
        several = located if isinstance(located, list) else [located]
        return NOT_FOUND, [place_of(location) for location in several]
    except _THEIR_FAULTS:
        return UNAVAILABLE, ()


def _place_of_feature(location: Any, source: str) -> Place:
    """What addok (BAN) and Photon answer: GeoJSON features with the same names for the parts."""
    details = location.raw["properties"]
    number = _text(details, "housenumber")
    street = _text(details, "street") or (None if number else _text(details, "name"))
    return Place(
        point=Point(location.latitude, location.longitude),
        label=_label(number, street, location.address),
        source=source,
        accuracy_m=10.0 if number else 100.0,
        confidence=0.9 if number else 0.6,
        street=street,
        house_number=number,
        postcode=_text(details, "postcode"),
        locality=_text(details, "city"),
    )


def _corners(box: Box) -> list[tuple[float, float]]:
    """Two opposite corners as geopy takes them: latitude first."""
    return [(box.south, box.west), (box.north, box.east)]


def _text(details: Mapping[str, Any], *names: str) -> str | None:
    """The first of the named details that says something."""
    for name in names:
        value = details.get(name)
        if value:
            return clean(str(value))[:200]
    return None


def _label(number: str | None, street: str | None, whole: Any) -> str:
    """`31 Rue Émile Zola` where that is known, else what the geocoder wrote."""
    if street is None:
        return clean(str(whole or ""))[:300]
    return f"{number} {street}" if number else street
