"""Payloads of adoption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import fields

from assets.adoption.models import Adoption, AdoptionEntry
from assets.adoption.queries import AssetRef, Held, Public, Waited
from core.api import Schema, Text
from core.i18n import pick
from reports.schemas import PageQuery

#: A name fits on a small sign.
MAX_NAME = 60
MAX_REASON = 500


class AdoptionIn(Schema):
    """What an adopter may say; who adopts is who is signed in."""

    name = Text(
        allow_none=True,
        max_length=MAX_NAME,
        metadata={
            "description": "A name for the asset; everybody reads it once somebody approved it."
        },
    )
    shows_name = fields.Boolean(
        load_default=False,
        metadata={"description": "Whether everybody may read the adopter's public name."},
    )
    jurisdiction = Text(
        allow_none=True,
        max_length=100,
        metadata={"description": "If given, an asset of another city is refused."},
    )


class AdoptionChangeIn(Schema):
    """What an adopter may change; `name` null takes the name away."""

    name = Text(allow_none=True, max_length=MAX_NAME)
    shows_name = fields.Boolean()


class HandoverIn(Schema):
    """Whom an asset is offered to."""

    email = Text(required=True, max_length=254)


class NameDecisionIn(Schema):
    """Whether a name may be read by everybody."""

    approve = fields.Boolean(required=True)
    reason = Text(
        allow_none=True, max_length=MAX_REASON, metadata={"description": "Told to the adopter."}
    )


class AdoptionEndIn(Schema):
    """Why staff end an adoption."""

    reason = Text(
        required=True,
        min_length=1,
        max_length=MAX_REASON,
        metadata={"description": "Told to the adopter."},
    )


class OwnAdoptionsQuery(PageQuery):
    """Which of one's adoptions."""

    ended = fields.Boolean(
        load_default=False, metadata={"description": "Those that are over, instead."}
    )


class AssetRefOut(Schema):
    """The asset it is about."""

    id = fields.UUID(required=True)
    code = fields.String(required=True)
    kind = fields.String(required=True)
    kind_name = fields.String(required=True)
    jurisdiction = fields.String(required=True)
    lat = fields.Float(required=True)
    lon = fields.Float(required=True)
    state = fields.String(required=True)


class HandoverOut(Schema):
    """An asset that is offered to somebody."""

    id = fields.UUID(required=True)
    offered_at = fields.AwareDateTime(required=True)
    until = fields.AwareDateTime(required=True)


class AdoptionOut(Schema):
    """An adoption, as its adopter sees it."""

    id = fields.UUID(required=True)
    asset = fields.Nested(AssetRefOut, required=True)
    begun_at = fields.AwareDateTime(required=True)
    until = fields.AwareDateTime(
        required=True, metadata={"description": "The end of the term, unless it is renewed."}
    )
    renewed_at = fields.AwareDateTime(required=True, allow_none=True)
    nudged = fields.Integer(
        required=True, metadata={"description": "Letters after the term that nobody answered."}
    )
    shows_name = fields.Boolean(required=True)
    name = fields.String(required=True, allow_none=True)
    name_wanted = fields.String(
        required=True, allow_none=True, metadata={"description": "Waits to be approved."}
    )
    name_reason = fields.String(
        required=True, allow_none=True, metadata={"description": "Why the last was refused."}
    )
    handover = fields.Nested(HandoverOut, required=True, allow_none=True)
    ended_at = fields.AwareDateTime(required=True, allow_none=True)
    ended_because = fields.String(required=True, allow_none=True)


class WaitOut(Schema):
    """A place on a waiting list."""

    id = fields.UUID(required=True)
    asset = fields.Nested(AssetRefOut, required=True)
    since = fields.AwareDateTime(required=True)
    position = fields.Integer(required=True)
    state = fields.String(required=True, metadata={"description": "waiting or offered"})
    offered_until = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Until then the place is kept: adopt it."},
    )


class OwnAdoptionsOut(Schema):
    """A page of one's adoptions, and where one waits."""

    items = fields.List(fields.Nested(AdoptionOut), required=True)
    next = fields.String(required=True, allow_none=True)
    waiting = fields.List(fields.Nested(WaitOut), required=True)


class AdopterOut(Schema):
    """An adopter as everybody sees them."""

    since = fields.AwareDateTime(required=True)
    adopter = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Their public name, where they chose to show it."},
    )
    name = fields.String(
        required=True, allow_none=True, metadata={"description": "What they call the asset."}
    )


class AssetAdoptionOut(Schema):
    """Who looks after an asset, and whether there is room."""

    is_adoptable = fields.Boolean(required=True)
    capacity = fields.Integer(required=True)
    adopters = fields.List(fields.Nested(AdopterOut), required=True)
    waiting = fields.Integer(required=True)


class WantedNameOut(Schema):
    """A name that waits to be approved."""

    id = fields.UUID(required=True, metadata={"description": "Of the adoption."})
    asset = fields.Nested(AssetRefOut, required=True)
    name = fields.String(required=True, allow_none=True)
    name_wanted = fields.String(required=True, allow_none=True)


class WantedNamesOut(Schema):
    """A page of names that wait."""

    items = fields.List(fields.Nested(WantedNameOut), required=True)
    next = fields.String(required=True, allow_none=True)


class AdoptionEntryOut(Schema):
    """Something that happened to an adoption."""

    at = fields.AwareDateTime(required=True)
    entry = fields.String(required=True)
    adoption = fields.UUID(required=True)
    person = fields.UUID(required=True, metadata={"description": "The adopter."})
    by = fields.UUID(required=True, allow_none=True, metadata={"description": "Null: the clock."})
    data = fields.Dict(required=True)


class AdoptionHistoryOut(Schema):
    """Everything that happened to the adoptions of an asset, the oldest first."""

    items = fields.List(fields.Nested(AdoptionEntryOut), required=True)


def asset_document(asset: AssetRef, locale: str | None) -> dict[str, Any]:
    """An asset as `AssetRefOut` says it."""
    place = asset.place
    return {
        "id": asset.id,
        "code": asset.code,
        "kind": asset.kind.code,
        "kind_name": pick(asset.kind.names, locale or place.default_locale, place.default_locale),
        "jurisdiction": place.code,
        "lat": asset.point.lat,
        "lon": asset.point.lon,
        "state": asset.state,
    }


def adoption_document(held: Held, locale: str | None) -> dict[str, Any]:
    """An adoption as `AdoptionOut` says it."""
    adoption: Adoption = held.adoption
    return {
        **{
            name: getattr(adoption, name)
            for name in (
                "id",
                "begun_at",
                "until",
                "renewed_at",
                "nudged",
                "shows_name",
                "name",
                "name_wanted",
                "name_reason",
                "ended_at",
                "ended_because",
            )
        },
        "asset": asset_document(held.asset, locale),
        "handover": held.handover,
    }


def wait_document(waited: Waited, locale: str | None) -> dict[str, Any]:
    """A place on a waiting list as `WaitOut` says it."""
    wait = waited.wait
    return {
        "id": wait.id,
        "asset": asset_document(waited.asset, locale),
        "since": wait.since,
        "position": waited.position,
        "state": wait.state,
        "offered_until": wait.offered_until,
    }


def public_document(public: Public) -> Mapping[str, Any]:
    """An asset's adopters as `AssetAdoptionOut` says them."""
    return {
        "is_adoptable": public.is_adoptable,
        "capacity": public.capacity,
        "adopters": public.adopters,
        "waiting": public.waiting,
    }


def entry_document(entry: AdoptionEntry, adoption: Adoption) -> dict[str, Any]:
    """A line of the history as `AdoptionEntryOut` says it."""
    return {
        "at": entry.at,
        "entry": entry.entry,
        "adoption": adoption.id,
        "person": adoption.person_id,
        "by": entry.actor_id,
        "data": entry.data,
    }
