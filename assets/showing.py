"""Assets as GeoJSON features, in the reader's language; who of the staff did what, for staff only.

Lists are written as text, row by row, without the schema that documents them: most of the time of
a list of five hundred would go into making objects and reading them again. Tests hold the texts to
`feature` and the documents to their schemas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from assets.kinds import KindEntry
from assets.queries import Cluster, Found, Version
from assets.rules import has_room
from assets.vocabulary import AssetState, Origin, Part
from geo.cells import hex_id
from geo.jurisdictions import JurisdictionRef
from reports.attributes import AttributeDefinition
from reports.showing import Look

Teams = Mapping[int, tuple[str, Mapping[str, str]]]

_BOOLEANS = {True: "true", False: "false"}


def feature(found: Found, look: Look, teams: Teams) -> dict[str, Any]:
    """One asset."""
    kind = found.kind
    properties: dict[str, Any] = {
        "code": found.code,
        **_of_kind(kind, found.place, look),
        "state": found.state.value,
        "attributes": dict(found.attributes),
        "adopted": found.adopters > 0,
        "free": has_room(
            found.state,
            is_adoptable=kind.is_adoptable,
            adopters=found.adopters,
            capacity=kind.adoption.capacity,
        ),
        "owner": _owner(found.team_id, found.place, look, teams),
        "version": found.version,
        "since": found.since.isoformat().replace("+00:00", "Z"),
    }
    if found.distance_m is not None:
        properties["distance_m"] = round(found.distance_m, 1)
    return {
        "type": "Feature",
        "id": str(found.id),
        "geometry": {
            "type": "Point",
            "coordinates": [round(found.point.lon, 7), round(found.point.lat, 7)],
        },
        "properties": properties,
    }


def written(
    rows: Sequence[Any],
    kinds: Mapping[int, tuple[KindEntry, JurisdictionRef]],
    look: Look,
    teams: Teams,
) -> list[str]:
    """Each row of `queries.written` as the JSON text of its feature: what `feature` says of it.

    Args:
        rows: with the columns of `queries.written`, in their order.
        kinds: by id, each with its city.
    """
    of_kinds = {
        id_: json.dumps(_of_kind(kind, place, look), ensure_ascii=False)[1:-1]
        for id_, (kind, place) in kinds.items()
    }
    # What many rows have alike is written once: between code and attributes, and behind them.
    alike: dict[tuple[int, int | None, str, int], tuple[str, str]] = {}
    texts: list[str] = []
    for id_, kind_id, code, lat, lon, _, attributes, state, team_id, version, since, count in rows:
        key = (kind_id, team_id, state, count)
        if key not in alike:
            kind, place = kinds[kind_id]
            owner_id = kind.owner_team_id if team_id is None else team_id
            owner = json.dumps(_owner(owner_id, place, look, teams), ensure_ascii=False)
            is_free = has_room(
                AssetState(state),
                is_adoptable=kind.is_adoptable,
                adopters=count,
                capacity=kind.adoption.capacity,
            )
            use = f'"adopted": {_BOOLEANS[count > 0]}, "free": {_BOOLEANS[is_free]}'
            alike[key] = (
                f'{of_kinds[kind_id]}, "state": "{state}", "attributes": ',
                f', {use}, "owner": {owner}, "version": ',
            )
        middle, end = alike[key]
        said = f'"{code}"' if code.isalnum() else json.dumps(code, ensure_ascii=False)
        texts.append(
            f'{{"type": "Feature", "id": "{id_}", "geometry": {{"type": "Point",'
            f' "coordinates": [{round(lon, 7)!r}, {round(lat, 7)!r}]}},'
            f' "properties": {{"code": {said}, {middle}{attributes}{end}{version},'
            f' "since": "{since}Z"}}}}'
        )
    return texts


def cluster(counted: Cluster) -> dict[str, Any]:
    """Many assets as one feature."""
    return {
        "type": "Feature",
        "id": hex_id(counted.cell),
        "geometry": {
            "type": "Point",
            "coordinates": [round(counted.point.lon, 6), round(counted.point.lat, 6)],
        },
        "properties": {
            "cluster": True,
            "cell": hex_id(counted.cell),
            "count": counted.count,
            "kinds": dict(counted.kinds),
        },
    }


def collection(
    features: Sequence[dict[str, Any]], following: str | None, **members: Any
) -> dict[str, Any]:
    """Features as a list, with the cursor of the next page."""
    return {"type": "FeatureCollection", "features": features, "next": following, **members}


def version(item: Version, *, is_staff: bool) -> dict[str, Any]:
    """One version of an asset."""
    document: dict[str, Any] = {
        "version": item.version,
        "at": item.at,
        "origin": Origin(item.origin),
        "changed": [Part(part) for part in item.changed],
        "code": item.code,
        "lat": item.lat,
        "lon": item.lon,
        "state": AssetState(item.state),
        "attributes": dict(item.attributes),
    }
    if is_staff:
        document["actor"] = (
            None if item.actor_id is None else {"id": item.actor_id, "name": item.actor_name}
        )
        document["correction_id"] = item.correction_id
        document["import_id"] = item.run_id
    return document


def kind(entry: KindEntry, place: JurisdictionRef, look: Look) -> dict[str, Any]:
    """A kind, with what one must know to show, adopt and correct its assets."""
    season = entry.season
    return {
        "code": entry.code,
        "name": look.say(entry.names, place),
        "icon": entry.icon,
        "jurisdiction": place.code,
        "attributes": [_attribute(definition, place, look) for definition in entry.attributes],
        "services": list(entry.services),
        "link_radius_m": entry.link_radius_m,
        "adoptable": entry.is_adoptable,
        "adoption": {
            "capacity": entry.adoption.capacity,
            "term_days": entry.adoption.term_days,
            "limit_per_volunteer": entry.adoption.limit_per_volunteer,
        }
        if entry.is_adoptable
        else None,
        "care": [
            {
                "code": action.code,
                "name": look.say(action.names, place),
                "unit": look.say(action.unit, place) or None,
                "is_problem": action.is_problem,
            }
            for action in entry.care.actions
        ],
        "season": None
        if season is None
        else {
            "from": f"{season.start[0]:02d}-{season.start[1]:02d}",
            "to": f"{season.end[0]:02d}-{season.end[1]:02d}",
        },
        "confirmations": entry.corrections.confirmations,
    }


def _of_kind(kind: KindEntry, place: JurisdictionRef, look: Look) -> dict[str, Any]:
    """What is the same of all assets of a kind."""
    return {
        "kind": kind.code,
        "kind_name": look.say(kind.names, place),
        "icon": kind.icon,
        "jurisdiction": place.code,
        "adoptable": kind.is_adoptable,
    }


def _owner(
    team_id: int | None, place: JurisdictionRef, look: Look, teams: Teams
) -> dict[str, str] | None:
    team = None if team_id is None else teams.get(team_id)
    return None if team is None else {"code": team[0], "name": look.say(team[1], place)}


def _attribute(
    definition: AttributeDefinition, place: JurisdictionRef, look: Look
) -> dict[str, Any]:
    return {
        "code": definition.code,
        "datatype": definition.datatype.value,
        "name": look.say(definition.descriptions, place),
        "values": [
            {"key": choice.key, "name": look.say(choice.names, place)}
            for choice in definition.values
        ],
    }
