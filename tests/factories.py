"""Rows for tests, everything defaulted: say only what the test is about.

Each function adds its row to the session, flushes and returns it. What a row needs and was not
given is made: a report without a service gets one, a service without a city gets one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Person, RoleGrant, SignInSession, Team
from accounts.rules import Display, Role
from accounts.secrets import SESSION_PREFIX, digest, new_token
from assets.adoption.models import Adoption
from assets.campaigns.models import Campaign
from assets.campaigns.vocabulary import Trigger
from assets.corrections.models import Correction
from assets.corrections.vocabulary import What
from assets.models import Asset, AssetKind, AssetVersion
from assets.register import search_words
from assets.vocabulary import AssetState, Origin, Part
from core.clock import utc_now
from core.ids import new_id
from core.text import fold
from geo.address_text import street_and_number
from geo.cells import cell_of
from geo.loading import touch
from geo.measures import Point
from geo.models import Area, Jurisdiction
from reports import numbering
from reports.models import Follower, HistoryEntry, Photo, Service, ServiceRequest
from reports.vocabulary import (
    ActorKind,
    HistoryKind,
    PhotoState,
    PlaceSource,
    Source,
    Status,
    Visibility,
)

#: Place de la Comédie, Montpellier.
COMEDIE = Point(43.6086, 3.8797)

#: A Wednesday, ten in the morning in Montpellier.
WEDNESDAY = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)

#: Monday to Friday, nine to five.
OFFICE_HOURS = {
    "hours": {
        day: [["09:00", "17:00"]]
        for day in ("monday", "tuesday", "wednesday", "thursday", "friday")
    },
}

_count = itertools.count(1)


def new_jurisdiction(
    session: Session,
    *,
    code: str | None = None,
    centre: Point = COMEDIE,
    half_deg: float = 0.1,
    **values: Any,
) -> Jurisdiction:
    """A city that speaks French and English, with a square boundary about `centre`."""
    city = Jurisdiction(
        **{
            "code": code or f"ville-{next(_count)}",
            "names": {"fr": "Ville", "en": "City"},
            "locales": ["fr", "en"],
            "default_locale": "fr",
            "country": "FR",
            "subdivision": None,
            "time_zone": "Europe/Paris",
            "boundary": square(centre, half_deg),
            **values,
        }
    )
    session.add(city)
    session.flush()
    numbering.ensure(session, city.id)
    return city


def square(centre: Point, half_deg: float) -> dict[str, Any]:
    """A GeoJSON polygon: the square about a position."""
    west, east = centre.lon - half_deg, centre.lon + half_deg
    south, north = centre.lat - half_deg, centre.lat + half_deg
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def new_area(
    session: Session,
    city: Jurisdiction,
    *,
    layer: str = "quartiers",
    code: str | None = None,
    centre: Point = COMEDIE,
    half_deg: float = 0.01,
) -> Area:
    """A square district."""
    code = code or f"quartier-{next(_count)}"
    area = Area(
        jurisdiction_id=city.id,
        layer=layer,
        code=code,
        names={"fr": code, "en": code},
        geometry=square(centre, half_deg),
    )
    session.add(area)
    session.flush()
    return area


def new_team(
    session: Session, city: Jurisdiction | None = None, *, code: str | None = None, **values: Any
) -> Team:
    """A team."""
    city = city or new_jurisdiction(session)
    code = code or f"equipe-{next(_count)}"
    team = Team(
        **{
            "jurisdiction_id": city.id,
            "code": code,
            "names": {"fr": f"Équipe {code}", "en": f"Team {code}"},
            "email": f"{code}@ville.example",
            **values,
        }
    )
    session.add(team)
    session.flush()
    return team


def new_service(
    session: Session, city: Jurisdiction | None = None, *, code: str | None = None, **values: Any
) -> Service:
    """An entry of the catalogue, without attributes."""
    city = city or new_jurisdiction(session)
    code = code or f"service-{next(_count)}"
    service = Service(
        **{
            "jurisdiction_id": city.id,
            "code": code,
            "group": "voirie",
            "group_names": {"fr": "Voirie", "en": "Roads"},
            "names": {"fr": f"Problème {code}", "en": f"Problem {code}"},
            "descriptions": {"fr": "", "en": ""},
            "keywords": {"fr": [], "en": []},
            "position": next(_count),
            "family": code,
            "duplicate_radius_m": 30.0,
            "duplicate_days": 30.0,
            # Whatever is near and recent is joined: most tests are about what follows from that.
            "duplicate_join_at": 0.0,
            "reopen_days": 14,
            "close_after_days": 14,
            **values,
        }
    )
    session.add(service)
    session.flush()
    return service


def new_asset_kind(
    session: Session, city: Jurisdiction | None = None, *, code: str | None = None, **values: Any
) -> AssetKind:
    """A kind of asset that can be adopted, with one free attribute, `name`."""
    city = city or new_jurisdiction(session)
    code = code or f"kind-{next(_count)}"
    kind = AssetKind(
        **{
            "jurisdiction_id": city.id,
            "code": code,
            "names": {"fr": f"Objet {code}", "en": f"Thing {code}"},
            "position": next(_count),
            "attributes": [
                {"code": "name", "datatype": "string", "names": {"fr": "Nom", "en": "Name"}}
            ],
            "is_adoptable": True,
            "link_radius_m": 25.0,
            **values,
        }
    )
    session.add(kind)
    session.flush()
    touch(session, city.id)
    return kind


def new_asset(
    session: Session,
    kind: AssetKind | None = None,
    *,
    point: Point = COMEDIE,
    code: str | None = None,
    state: AssetState = AssetState.IN_SERVICE,
    **values: Any,
) -> Asset:
    """An asset in its first version, as an import left it."""
    kind = kind or new_asset_kind(session)
    now = values.pop("now", WEDNESDAY)
    asset = Asset(
        **{
            "id": new_id(),
            "jurisdiction_id": kind.jurisdiction_id,
            "kind_id": kind.id,
            "code": code or str(next(_count)),
            "lat": point.lat,
            "lon": point.lon,
            "cell": cell_of(point),
            "attributes": {},
            "state": state.value,
            "version": 1,
            "since": now,
            "created_at": now,
            "adopters": 0,
            **values,
        }
    )
    words = search_words(asset.code, asset.attributes)
    asset.search = sa.func.to_tsvector("simple", words)
    session.add(asset)
    session.flush()
    session.add(
        AssetVersion(
            asset_id=asset.id,
            version=1,
            at=now,
            origin=Origin.IMPORT.value,
            changed=[Part.CREATED.value],
            code=asset.code,
            lat=asset.lat,
            lon=asset.lon,
            attributes=asset.attributes,
            state=asset.state,
            owner_team_id=asset.owner_team_id,
        )
    )
    session.flush()
    return asset


def new_adoption(
    session: Session,
    asset: Asset | None = None,
    person: Person | None = None,
    *,
    now: datetime | None = None,
    **values: Any,
) -> Adoption:
    """Somebody looks after an asset, for a year from now."""
    asset = asset or new_asset(session)
    person = person or new_person(session)
    now = now or utc_now()
    adoption = Adoption(
        **{
            "jurisdiction_id": asset.jurisdiction_id,
            "kind_id": asset.kind_id,
            "asset_id": asset.id,
            "person_id": person.id,
            "slot": 1 + asset.adopters,
            "begun_at": now,
            "until": now + timedelta(days=365),
            "next_step_at": now + timedelta(days=335),
            **values,
        }
    )
    session.add(adoption)
    asset.adopters += 1
    session.flush()
    return adoption


def new_campaign(session: Session, kind: AssetKind | None = None, **values: Any) -> Campaign:
    """A campaign by hand for a kind, in both languages, for a year from yesterday."""
    kind = kind or new_asset_kind(session)
    now = values.pop("now", None) or utc_now()
    campaign = Campaign(
        **{
            "jurisdiction_id": kind.jurisdiction_id,
            "kind_id": kind.id,
            "name": "Neige",
            "starts_on": (now - timedelta(days=1)).date(),
            "ends_on": (now + timedelta(days=365)).date(),
            "words": {
                "fr": {"subject": "Il va neiger", "text": "Pensez à dégager : {asset}."},
                "en": {"subject": "Snow is coming", "text": "Please clear {asset}."},
            },
            "action": "checked",
            "trigger": Trigger.HAND.value,
            "awaited": {},
            "cool_down_h": 24,
            "follow_up_h": 6,
            "created_by": new_id(),
            "created_at": now,
            "updated_at": now,
            **values,
        }
    )
    session.add(campaign)
    session.flush()
    return campaign


def new_correction(
    session: Session, asset: Asset | None = None, *, what: What = What.GONE, **values: Any
) -> Correction:
    """Somebody says that an asset is gone."""
    asset = asset or new_asset(session)
    correction = Correction(
        **{
            "jurisdiction_id": asset.jurisdiction_id,
            "kind_id": asset.kind_id,
            "asset_id": asset.id,
            "what": what.value,
            "lat": asset.lat,
            "lon": asset.lon,
            "cell": asset.cell,
            "person_id": new_id(),
            "proposed_at": utc_now(),
            **values,
        }
    )
    session.add(correction)
    session.flush()
    return correction


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody with an account and an open session."""

    person: Person
    token: str

    @property
    def id(self) -> UUID:
        """Of the person."""
        return self.person.id

    @property
    def headers(self) -> dict[str, str]:
        """What their client sends to be known."""
        return {"Authorization": f"Bearer {self.token}"}


def new_person(session: Session, *, email: str | None = None, **values: Any) -> Person:
    """Somebody with a verified account and no role."""
    number = next(_count)
    person = Person(
        **{
            "email": email or f"personne-{number}@ville.example",
            "name": f"Dominique {number}",
            "locale": "fr",
            "verified_at": utc_now(),
            **values,
        }
    )
    session.add(person)
    session.flush()
    return person


def grant(
    session: Session,
    person: Person,
    role: Role,
    city: Jurisdiction,
    team: Team | None = None,
) -> RoleGrant:
    """A role in a city, or in one team of it."""
    given = RoleGrant(
        person_id=person.id,
        role=role.value,
        jurisdiction_id=city.id,
        team_id=team.id if team is not None else None,
    )
    session.add(given)
    session.flush()
    return given


def sign_in(session: Session, person: Person, **values: Any) -> str:
    """The token of a fresh session of theirs: for a header, or with `is_browser` for a cookie."""
    token = new_token(SESSION_PREFIX)
    now = utc_now()
    session.add(
        SignInSession(
            person_id=person.id,
            token_hash=digest(token),
            created_at=now,
            **{"expires_at": now + timedelta(hours=8), **values},
        )
    )
    session.flush()
    return token


def new_staff(
    session: Session,
    city: Jurisdiction,
    role: Role = Role.AGENT,
    *,
    team: Team | None = None,
    **values: Any,
) -> SignedIn:
    """Somebody of the city's staff, signed in; with a team, for that team's work only."""
    person = new_person(session, **values)
    grant(session, person, role, city, team)
    return SignedIn(person, sign_in(session, person))


def new_citizen(session: Session, **values: Any) -> SignedIn:
    """Somebody with an account and no role, signed in."""
    person = new_person(session, **values)
    return SignedIn(person, sign_in(session, person))


def new_report(
    session: Session,
    service: Service | None = None,
    *,
    at: Point | None = COMEDIE,
    status: Status = Status.RECEIVED,
    team: Team | None = None,
    requested_at: datetime | None = None,
    parent: ServiceRequest | None = None,
    areas: Sequence[Area] = (),
    history: bool = True,
    **values: Any,
) -> ServiceRequest:
    """A report as intake and the pipeline would have left it in that status.

    Args:
        at: its position; None for one that waits for a place.
        parent: what it repeats; makes it a duplicate.
        history: whether the entries of its receipt and present status are written too.
    """
    service = service or new_service(session)
    requested_at = requested_at or utc_now() - timedelta(hours=1)
    name = numbering.sequence_name(service.jurisdiction_id)
    number = session.scalar(sa.text(f"SELECT nextval('{name}')"))
    status = Status.DUPLICATE if parent is not None else status
    given: dict[str, Any] = {
        "id": new_id(),
        "jurisdiction_id": service.jurisdiction_id,
        "number": number,
        "service_id": service.id,
        "source": Source.WEB.value,
        "status": status.value,
        "visibility": Visibility.PUBLIC.value,
        "display": Display.ANONYMOUS.value,
        "description": "Un trou dans la chaussée.",
        "lat": at.lat if at else None,
        "lon": at.lon if at else None,
        "cell": cell_of(at) if at else None,
        "place_source": (PlaceSource.PIN if at else PlaceSource.UNKNOWN).value,
        "address": "1 place de la Comédie" if at else None,
        "areas": [area.id for area in areas],
        "team_id": team.id if team is not None else None,
        "routed_by": "rule" if team is not None else None,
        "parent_id": parent.id if parent is not None else None,
        "requested_at": requested_at,
        "updated_at": requested_at,
        "located_at": requested_at,
        "content_hash": b"\0" * 32,
        "caller_hash": b"\0" * 32,
        **values,
    }
    street, house_number = street_and_number(given["address"]) if given["address"] else (None, None)
    given.setdefault("address_street", street)
    given.setdefault("address_number", house_number)
    given.setdefault("priority_base", given.get("priority", 0))
    if status is not Status.RECEIVED:
        given.setdefault("triaged_at", requested_at)
        given.setdefault("due_at", requested_at + timedelta(days=5))
    if status in (Status.RESOLVED, Status.CLOSED):
        given.setdefault("resolved_at", requested_at + timedelta(hours=1))
    if status in (Status.CLOSED, Status.REJECTED):
        given.setdefault("closed_at", requested_at + timedelta(hours=1))
    if status is Status.ON_HOLD:
        given.setdefault("held_since", requested_at)
    words = fold(f"{number} {given['description']} {given['address'] or ''}")
    given.setdefault("search", sa.func.to_tsvector(sa.literal_column("'simple'"), words))
    report = ServiceRequest(**given)
    session.add(report)
    session.flush()
    if history:
        _write_history(session, report, status)
    return report


def _write_history(session: Session, report: ServiceRequest, status: Status) -> None:
    steps: list[tuple[Status | None, Status]] = [(None, Status.RECEIVED)]
    if status is not Status.RECEIVED:
        steps.append((Status.RECEIVED, status))
    for before, after in steps:
        session.add(
            HistoryEntry(
                report_id=report.id,
                at=report.requested_at,
                kind=HistoryKind.STATUS.value,
                from_status=before and before.value,
                to_status=after.value,
                actor_kind=ActorKind.SYSTEM.value,
                data={},
            )
        )
    session.flush()


def new_follower(
    session: Session,
    report: ServiceRequest,
    *,
    is_reporter: bool = False,
    is_confirmed: bool = True,
    **values: Any,
) -> Follower:
    """Somebody who is told about a report, by e-mail."""
    now = utc_now()
    follower = Follower(
        **{
            "report_id": report.id,
            "is_reporter": is_reporter,
            "name": "Camille Durand",
            "email": f"camille-{next(_count)}@courriel.example",
            "locale": "fr",
            "confirmed_at": now if is_confirmed else None,
            "created_at": now,
            **values,
        }
    )
    session.add(follower)
    session.flush()
    return follower


def new_photo(
    session: Session,
    report: ServiceRequest,
    *,
    state: PhotoState = PhotoState.READY,
    **values: Any,
) -> Photo:
    """A photo row; no bytes stand behind it."""
    photo = Photo(
        **{
            "report_id": report.id,
            "state": state.value,
            "added_by": ActorKind.REPORTER.value,
            "media_type": "image/jpeg",
            "size_bytes": 120_000,
            "width": 1600,
            "height": 1200,
            "created_at": utc_now(),
            **values,
        }
    )
    session.add(photo)
    session.flush()
    return photo


def stored(session: Session, model: type[Any], **where: Any) -> Sequence[Any]:
    """Every stored row with those values, read afresh, oldest first."""
    session.expire_all()
    return session.scalars(sa.select(model).filter_by(**where).order_by(model.id)).all()
