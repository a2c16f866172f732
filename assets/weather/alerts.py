"""Reading alerts in the Common Alerting Protocol 1.2 (OASIS, 2010): one, or a feed of them. Pure.

A feed is Atom or RSS. An entry may hold the whole alert, enough of it to judge (as the feeds of
weather services do), or only say where it is: `Feed.links`.

Entities are refused before anything is parsed: an alert has none, and a few lines of them become a
terabyte. The text is decoded here and nowhere else, so that no other encoding hides them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from assets.weather.forecasts import UnreadableWeatherError
from assets.weather.rules import Alert, AlertArea, AlertInfo
from assets.weather.vocabulary import Severity
from core.text import clean
from geo.measures import CoordinateError, Point

_DECLARES = re.compile(r"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_DECLARED_LATIN = re.compile(
    rb"""<\?xml[^>]*encoding=["'](?:iso-8859-1|latin-?1)["']""", re.IGNORECASE
)

_CAP = "application/cap+xml"

#: Of one feed; a country has some hundreds on its worst day.
MOST_ALERTS = 1000

#: Of one alert: a coast in every detail.
_MOST_POINTS = 20_000

#: As much of an event's name as is kept.
_MOST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Feed:
    """What a document holds: alerts, and addresses of further ones."""

    alerts: Sequence[Alert]
    links: Sequence[str] = ()


def read(body: bytes) -> Feed:
    """The alerts of a document.

    Raises:
        UnreadableWeatherError: it is no XML, it declares entities, or it is neither alert nor feed.
    """
    root = _parsed(body)
    name = _name(root)
    if name == "alert":
        return Feed([_alert(root)])
    if name not in ("feed", "rss", "RDF"):
        raise UnreadableWeatherError("no_alerts")
    alerts: list[Alert] = []
    links: list[str] = []
    for entry in _entries(root):
        if len(alerts) + len(links) >= MOST_ALERTS:
            break
        inside = next((each for each in entry.iter() if _name(each) == "alert"), None)
        try:
            found = _alert(inside) if inside is not None else _of_entry(entry)
        except UnreadableWeatherError:
            # One that is broken says nothing against the others.
            continue
        if found is not None:
            alerts.append(found)
        elif (link := _link(entry)) is not None:
            links.append(link)
    return Feed(alerts, links)


def _parsed(body: bytes) -> ET.Element:
    try:
        text = body.decode("latin-1" if _DECLARED_LATIN.match(body) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableWeatherError("encoding") from error
    if _DECLARES.search(text):
        raise UnreadableWeatherError("entities")
    try:
        # Of a text the declared encoding is not asked.
        return ET.fromstring(text.strip())
    except (ET.ParseError, ValueError) as error:
        raise UnreadableWeatherError("not_xml") from error


def _entries(root: ET.Element) -> Iterator[ET.Element]:
    return (each for each in root.iter() if _name(each) in ("entry", "item"))


def _alert(element: ET.Element) -> Alert:
    """A whole alert.

    Raises:
        UnreadableWeatherError: it has no identifier or no instant.
    """
    said = _texts(element)
    identifier, sent_at = said.get("identifier", ""), _instant(said.get("sent"))
    if not identifier or sent_at is None:
        raise UnreadableWeatherError("incomplete_alert")
    infos = [each for each in element if _name(each) == "info"]
    return Alert(
        identifier=identifier,
        kind=said.get("msgType", ""),
        status=said.get("status", ""),
        scope=said.get("scope", ""),
        sent_at=sent_at,
        references=_references(said.get("references", "")),
        infos=[_info(each, [area for area in each if _name(area) == "area"]) for each in infos],
    )


def _of_entry(entry: ET.Element) -> Alert | None:
    """An alert from what its entry says of it; None: too little to judge."""
    said = _texts(entry)
    area = _area([entry])
    is_placed = area.polygons or area.circles or area.geocodes
    if "event" not in said or "severity" not in said or not is_placed:
        return None
    sent_at = _instant(said.get("sent") or said.get("updated") or said.get("published"))
    identifier = said.get("identifier") or said.get("id") or said.get("guid")
    if not identifier or sent_at is None:
        return None
    return Alert(
        identifier=identifier,
        kind=said.get("msgType") or said.get("message_type") or "Alert",
        status=said.get("status") or "Actual",
        scope=said.get("scope") or "Public",
        sent_at=sent_at,
        references=_references(said.get("references", "")),
        infos=[_info(entry, [entry])],
    )


def _info(element: ET.Element, areas: Sequence[ET.Element]) -> AlertInfo:
    said = _texts(element)
    try:
        severity = Severity(said.get("severity", ""))
    except ValueError:
        severity = Severity.UNKNOWN
    responses = [each.text for each in element if _name(each) == "responseType"]
    return AlertInfo(
        event=clean(said.get("event", ""))[:_MOST_WORDS],
        severity=severity,
        starts_at=_instant(said.get("onset")) or _instant(said.get("effective")),
        expires_at=_instant(said.get("expires")),
        is_all_clear="AllClear" in responses,
        area=_area(areas),
    )


def _area(areas: Sequence[ET.Element]) -> AlertArea:
    polygons, circles, geocodes = [], [], set()
    points = 0
    for area in areas:
        for each in area:
            name, text = _name(each), (each.text or "").strip()
            if name == "polygon" and text and points < _MOST_POINTS:
                ring = _ring(text)
                points += len(ring)
                if len(ring) >= 4:
                    polygons.append(ring)
            elif name == "circle":
                circle = _circle(text)
                if circle is not None:
                    circles.append(circle)
            elif name == "geocode":
                geocodes |= _geocodes(each)
    return AlertArea(polygons, circles, frozenset(geocodes))


def _ring(text: str) -> list[Point]:
    """`lat,lon lat,lon …`, the last like the first; empty where it cannot be read."""
    try:
        return [_point(pair) for pair in text.split()[:_MOST_POINTS]]
    except (CoordinateError, ValueError):
        return []


def _circle(text: str) -> tuple[Point, float] | None:
    """`lat,lon km`."""
    try:
        where, radius = text.split()
        radius_km = float(radius)
        return (_point(where), radius_km * 1000) if 0 <= radius_km < 25_000 else None
    except (CoordinateError, ValueError):
        return None


def _point(pair: str) -> Point:
    lat, lon = pair.split(",")
    return Point(float(lat), float(lon))


def _geocodes(element: ET.Element) -> set[str]:
    """`valueName` and `value`, of which a feed's entry may put several pairs into one element."""
    names = [(each.text or "").strip() for each in element if _name(each) == "valueName"]
    values = [(each.text or "").strip() for each in element if _name(each) == "value"]
    return {
        f"{name}:{value}"
        for name, text in zip(names, values, strict=False)
        for value in text.split()
        if name
    }


def _references(text: str) -> frozenset[str]:
    """`sender,identifier,sent` with blanks between."""
    triples = (each.split(",") for each in text.split())
    return frozenset(parts[1] for parts in triples if len(parts) == 3 and parts[1])


def _link(entry: ET.Element) -> str | None:
    """Where the alert is: a link of its type, else the only one."""
    found: dict[str, str] = {}
    for each in entry:
        if _name(each) == "link":
            url = each.get("href") or (each.text or "").strip()
            found.setdefault("cap" if each.get("type") == _CAP else "other", url)
    return found.get("cap") or found.get("other") or None


def _texts(element: ET.Element) -> Mapping[str, str]:
    """What its children say, by their names; of several the first."""
    said: dict[str, str] = {}
    for each in element:
        text = (each.text or "").strip()
        if text:
            said.setdefault(_name(each), text)
    return said


def _instant(text: str | None) -> datetime | None:
    """CAP, 3.3.2: with an offset always; without one it is nobody's time."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    try:
        return None if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        return None


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
