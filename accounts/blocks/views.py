"""The block list over HTTP, for those who manage a city."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response, current_app, jsonify
from flask_smorest import Blueprint
from marshmallow import fields

from accounts import blocks
from accounts.access import allow, current_actor, permission
from accounts.blocks import Listed, NewBlock
from accounts.rules import BlockKind, Permission
from core.api import Schema, Text
from core.clock import utc_now
from core.db import reading, transaction
from core.pagination import DEFAULT_LIMIT, MAX_LIMIT
from geo import jurisdictions

blueprint = Blueprint("blocks", __name__, description="Who may not file reports, and why.")

_MANAGE = permission(Permission.MANAGE_CITY)

#: The field that says who, by kind.
_SUBJECTS = {
    BlockKind.NETWORK: "network",
    BlockKind.EMAIL: "email",
    BlockKind.PHONE: "phone",
    BlockKind.PERSON: "person_id",
}


class BlockIn(Schema):
    """A block: exactly one of network, email, phone and person_id, and why."""

    jurisdiction = Text(max_length=100)
    network = Text(
        max_length=60,
        metadata={"description": "CIDR, no wider than /16 (IPv4) or /32 (IPv6)."},
    )
    email = Text(max_length=254, metadata={"description": "Kept as a keyed digest."})
    phone = Text(max_length=40, metadata={"description": "Kept as a keyed digest."})
    person_id = fields.UUID()
    reason = Text(
        required=True,
        min_length=1,
        max_length=200,
        metadata={"description": "A code or a few words; nothing personal."},
    )
    expires_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "Null: until it is lifted."}
    )

    @ma.validates_schema
    def _names_one(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if sum(name in data for name in _SUBJECTS.values()) != 1:
            raise ma.ValidationError("Name one of network, email, phone and person_id.", "network")


class BlocksQuery(Schema):
    """Which blocks."""

    past = fields.Boolean(
        load_default=False, metadata={"description": "Also those lifted or expired."}
    )
    cursor = Text(max_length=500)
    limit = fields.Integer(
        load_default=DEFAULT_LIMIT, validate=ma.validate.Range(min=1, max=MAX_LIMIT)
    )


class BlockOut(Schema):
    """A block. Of an e-mail address or a phone number only that there is one."""

    id = fields.UUID(required=True)
    kind = fields.String(required=True)
    jurisdiction = fields.String(
        required=True, allow_none=True, metadata={"description": "Null: everywhere."}
    )
    network = fields.String(required=True, allow_none=True)
    person_id = fields.UUID(required=True, allow_none=True)
    reason = fields.String(required=True)
    created_by = fields.UUID(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True, allow_none=True)
    lifted_at = fields.AwareDateTime(required=True, allow_none=True)


class BlockListOut(Schema):
    """Blocks, newest first."""

    items = fields.List(fields.Nested(BlockOut), required=True)
    next = fields.String(required=True, allow_none=True)


_BLOCK, _BLOCKS = BlockOut(), BlockListOut()


@blueprint.route("/blocks", methods=["GET"])
@allow(_MANAGE)
@blueprint.arguments(BlocksQuery, location="query")
@blueprint.response(200, BlockListOut)
def list_blocks(query: dict[str, Any]) -> Response:
    """Who is blocked in one's cities, and everywhere."""
    with reading() as session:
        page = blocks.page(
            session,
            current_actor().scope(Permission.MANAGE_CITY).jurisdiction_ids,
            now=utc_now(),
            with_past=query["past"],
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
        codes = {place.id: place.code for place in jurisdictions.all_of_them(session)}
    items = [_document(listed, codes) for listed in page.items]
    return _answer(_BLOCKS.dump({"items": items, "next": page.next}))


@blueprint.route("/blocks", methods=["POST"])
@allow(_MANAGE)
@blueprint.arguments(BlockIn)
@blueprint.response(201, BlockOut)
def add_block(payload: dict[str, Any]) -> Response:
    """Keep a network, an address, a number or a person from filing reports in a city."""
    kind, field = next(each for each in _SUBJECTS.items() if each[1] in payload)
    now, config = utc_now(), current_app.config
    with transaction() as session:
        place = jurisdictions.resolve(
            session,
            code=payload.get("jurisdiction"),
            default=config["DEFAULT_JURISDICTION"],
        )
        listed = blocks.add(
            session,
            NewBlock(
                kind=kind,
                subject=str(payload[field]),
                reason=payload["reason"],
                place=place,
                expires_at=payload.get("expires_at"),
            ),
            by=current_actor(),
            secret=config["SECRET_KEY"],
            now=now,
        )
    # Again, now that it is there for every process to read.
    blocks.forget()
    response = _answer(_BLOCK.dump(_document(listed, {place.id: place.code})))
    response.status_code = 201
    return response


@blueprint.route("/blocks/<uuid:block_id>", methods=["DELETE"])
@allow(_MANAGE)
@blueprint.response(200, BlockOut)
@blueprint.alt_response(404, description="There is none in one's cities.")
def lift_block(block_id: UUID) -> Response:
    """End a block. It stays in the list of past ones."""
    with transaction() as session:
        listed = blocks.lift(session, block_id, by=current_actor(), now=utc_now())
        codes = {place.id: place.code for place in jurisdictions.all_of_them(session)}
    blocks.forget()
    return _answer(_BLOCK.dump(_document(listed, codes)))


def _document(listed: Listed, codes: dict[int, str]) -> dict[str, Any]:
    return {
        "id": listed.id,
        "kind": listed.kind.value,
        "jurisdiction": listed.jurisdiction_id and codes.get(listed.jurisdiction_id),
        "network": listed.network,
        "person_id": listed.person_id,
        "reason": listed.reason,
        "created_by": listed.created_by,
        "created_at": listed.created_at,
        "expires_at": listed.expires_at,
        "lifted_at": listed.lifted_at,
    }


def _answer(document: Any) -> Response:
    response = jsonify(document)
    response.headers["Cache-Control"] = "no-store"
    return response
