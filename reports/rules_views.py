"""The routing rules of a city over HTTP, for those who manage it.

The rules are one text with a version, which is their ETag: a write with a stale `If-Match` is 412.
A text can be checked and tried on past reports before it is put in force; every version is kept.
What is wrong with it is told in the reader's language.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from flask import Response, current_app
from flask_smorest import Blueprint
from marshmallow import fields, validate
from sqlalchemy.orm import Session

from accounts.access import allow, current_actor, permission
from accounts.rules import Permission
from core.api import Schema, Text, check_version
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import NotFoundError
from core.i18n import language_of, spoken
from core.pagination import DEFAULT_LIMIT, MAX_LIMIT
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from reports import rule_trials, rule_versions
from reports.catalogue import catalogue_of
from reports.field_types import Instant
from reports.routing.faults import RuleFault
from reports.routing.trying import Trial
from reports.rule_versions import LONGEST_TEXT, Checked, FaultyRulesError, Version
from reports.schemas import LocaleQuery
from reports.viewing import MATCH_PARAMETER, answer, look

blueprint = Blueprint("rules", __name__, description="Who gets which report: the routing rules.")

_MANAGE = permission(Permission.MANAGE_CITY)


class RemarkOut(Schema):
    """What is wrong with a text, or worth a second look, and at which word."""

    line = fields.Integer(required=True)
    column = fields.Integer(required=True)
    word = fields.String(required=True)
    code = fields.String(
        required=True,
        metadata={"description": "Stable name of the remark; later releases may know more."},
    )
    reason = fields.String(
        required=True,
        metadata={"description": "The remark in words: the reader's language, else the city's."},
    )


class VersionOut(Schema):
    """One version of the rules, without its text."""

    version = fields.Integer(required=True, metadata={"description": "The ETag."})
    origin = fields.String(
        required=True, metadata={"description": "folder, or manager: who had the last word"}
    )
    by = fields.UUID(
        required=True, allow_none=True, metadata={"description": "null: the command line"}
    )
    restored = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The version whose text came back with this one."},
    )
    created_at = Instant(required=True, allow_none=True)


class RulesOut(VersionOut):
    """The rules of a version."""

    text = fields.String(required=True)
    warnings = fields.List(fields.Nested(RemarkOut), required=True)


class VersionListOut(Schema):
    """Versions, newest first."""

    items = fields.List(fields.Nested(VersionOut), required=True)
    next = fields.String(required=True, allow_none=True)


class VersionsQuery(Schema):
    """Which page of the versions."""

    cursor = Text(max_length=500)
    limit = fields.Integer(
        load_default=DEFAULT_LIMIT, validate=validate.Range(min=1, max=MAX_LIMIT)
    )


class RulesIn(Schema):
    """The whole text of the rules."""

    text = Text(required=True, min_length=1, max_length=LONGEST_TEXT)


class TrialIn(RulesIn):
    """Rules to try, and on how many days of reports."""

    days = fields.Integer(load_default=30, validate=validate.Range(min=1, max=366))


class RulesCheckOut(Schema):
    """What a text comes to."""

    is_right = fields.Boolean(required=True)
    rules = fields.Integer(required=True, metadata={"description": "How many, of a right text."})
    faults = fields.List(fields.Nested(RemarkOut), required=True)
    warnings = fields.List(fields.Nested(RemarkOut), required=True)


class MoveOut(Schema):
    """Reports that would go from one team to another; null is nobody."""

    before = fields.String(required=True, allow_none=True)
    after = fields.String(required=True, allow_none=True)
    count = fields.Integer(required=True)
    examples = fields.List(fields.String(), required=True)


class RulesTrialOut(RulesCheckOut):
    """What rules would change about past reports."""

    total = fields.Integer(required=True, metadata={"description": "Reports looked at."})
    moved = fields.Integer(required=True)
    by_person = fields.Integer(
        required=True, metadata={"description": "They stay where a person put them."}
    )
    urgency = fields.Integer(
        required=True, metadata={"description": "With another priority or service level."}
    )
    moves = fields.List(fields.Nested(MoveOut), required=True)


_RULES, _VERSIONS, _CHECK, _TRIAL = RulesOut(), VersionListOut(), RulesCheckOut(), RulesTrialOut()


@blueprint.route("/jurisdictions/<jurisdiction>/routing-rules", methods=["GET"])
@allow(_MANAGE)
@blueprint.arguments(LocaleQuery, location="query")
@blueprint.response(200, RulesOut)
@blueprint.alt_response(404, description="There is no such city that one manages.")
def show_rules(query: dict[str, Any], jurisdiction: str) -> Response:
    """The rules in force: their text, version and what is worth a second look."""
    with reading() as session:
        place = _managed(session, jurisdiction)
        found = rule_versions.current(session, place.id)
        return _rules(session, place, found, _language(query, place))


@blueprint.route("/jurisdictions/<jurisdiction>/routing-rules", methods=["PUT"])
@allow(_MANAGE)
@blueprint.doc(parameters=[MATCH_PARAMETER])
@blueprint.arguments(RulesIn)
@blueprint.response(200, RulesOut)
@blueprint.alt_response(404, description="There is no such city that one manages.")
@blueprint.alt_response(412, description="Somebody changed them since.")
@blueprint.alt_response(422, description="Something is wrong with them: `faults` has every fault.")
def change_rules(payload: dict[str, Any], jurisdiction: str) -> Response:
    """Put rules in force. They hold for reports that are routed from now on."""
    with transaction() as session:
        place = _managed(session, jurisdiction)
        language = _language({}, place)
        check_version(rule_versions.lock(session, place).version)
        with _refusing_in(language):
            made = rule_versions.change(
                session,
                catalogue_of(session, place.id),
                payload["text"],
                by=current_actor(),
                now=utc_now(),
            )
        response = _rules(session, place, made, language)
    # This process at once; the others read the city again within a second.
    jurisdictions.forget()
    return response


@blueprint.route("/jurisdictions/<jurisdiction>/routing-rules/check", methods=["POST"])
@allow(_MANAGE)
@blueprint.arguments(RulesIn)
@blueprint.response(200, RulesCheckOut)
@blueprint.alt_response(404, description="There is no such city that one manages.")
def check_rules(payload: dict[str, Any], jurisdiction: str) -> Response:
    """What is wrong with a text, and what is worth a second look; nothing is changed."""
    with reading() as session:
        place = _managed(session, jurisdiction)
        checked = rule_versions.check(session, catalogue_of(session, place.id), payload["text"])
    return answer(_CHECK, _checked(checked, _language({}, place)), is_private=True)


@blueprint.route("/jurisdictions/<jurisdiction>/routing-rules/trial", methods=["POST"])
@allow(_MANAGE)
@blueprint.arguments(TrialIn)
@blueprint.response(200, RulesTrialOut)
@blueprint.alt_response(404, description="There is no such city that one manages.")
@blueprint.alt_response(422, description="Something is wrong with them: `faults` has every fault.")
def try_rules(payload: dict[str, Any], jurisdiction: str) -> Response:
    """What rules would move of the reports of the last days, against those in force."""
    with reading() as session:
        place = _managed(session, jurisdiction)
        language = _language({}, place)
        catalogue = catalogue_of(session, place.id)
        checked = rule_versions.check(session, catalogue, payload["text"])
        if checked.faults:
            raise FaultyRulesError(checked.faults, language)
        trial = rule_trials.on_reports(
            session,
            catalogue,
            checked.rules,
            since=rule_trials.days_before(utc_now(), payload["days"]),
            assets=current_app.extensions["asset_owners"],
        )
    return answer(_TRIAL, _checked(checked, language) | _tried(trial), is_private=True)


@blueprint.route("/jurisdictions/<jurisdiction>/routing-rules/versions", methods=["GET"])
@allow(_MANAGE)
@blueprint.arguments(VersionsQuery, location="query")
@blueprint.response(200, VersionListOut)
@blueprint.alt_response(404, description="There is no such city that one manages.")
def list_rule_versions(query: dict[str, Any], jurisdiction: str) -> Response:
    """Who changed the rules, and when."""
    with reading() as session:
        place = _managed(session, jurisdiction)
        page = rule_versions.page(
            session, place.id, cursor=query.get("cursor"), limit=query["limit"]
        )
    items = [_version(item) for item in page.items]
    return answer(_VERSIONS, {"items": items, "next": page.next}, is_private=True)


@blueprint.route(
    "/jurisdictions/<jurisdiction>/routing-rules/versions/<int:version>", methods=["GET"]
)
@allow(_MANAGE)
@blueprint.arguments(LocaleQuery, location="query")
@blueprint.response(200, RulesOut)
@blueprint.alt_response(404, description="There is no such version that one may see.")
def show_rule_version(query: dict[str, Any], jurisdiction: str, version: int) -> Response:
    """The rules as they once were."""
    with reading() as session:
        place = _managed(session, jurisdiction)
        found = rule_versions.version(session, place.id, version)
        return _rules(session, place, found, _language(query, place))


@blueprint.route(
    "/jurisdictions/<jurisdiction>/routing-rules/versions/<int:version>/restoration",
    methods=["POST"],
)
@allow(_MANAGE)
@blueprint.doc(parameters=[MATCH_PARAMETER])
@blueprint.response(200, RulesOut)
@blueprint.alt_response(404, description="There is no such version that one may see.")
@blueprint.alt_response(412, description="Somebody changed the rules since.")
@blueprint.alt_response(422, description="The city has changed: they name what is gone.")
def restore_rules(jurisdiction: str, version: int) -> Response:
    """Put the rules of an earlier version in force again, as a new version."""
    with transaction() as session:
        place = _managed(session, jurisdiction)
        language = _language({}, place)
        check_version(rule_versions.lock(session, place).version)
        with _refusing_in(language):
            made = rule_versions.restore(
                session, catalogue_of(session, place.id), version, by=current_actor(), now=utc_now()
            )
        response = _rules(session, place, made, language)
    jurisdictions.forget()
    return response


def _managed(session: Session, code: str) -> JurisdictionRef:
    """A city whose rules are the caller's to change: all of them, not one team's."""
    place = next((each for each in jurisdictions.all_of_them(session) if each.code == code), None)
    if place is None or not current_actor().may(Permission.MANAGE_CITY, place.id, None):
        raise NotFoundError
    return place


def _language(query: Mapping[str, Any], place: JurisdictionRef) -> str:
    """What remarks are told in: as asked for, else the manager's own language, else the city's."""
    return language_of(spoken(look(query).locale, current_actor().locale) or place.default_locale)


@contextmanager
def _refusing_in(language: str) -> Iterator[None]:
    """Whoever sent faulty rules reads why they are refused in that language."""
    try:
        yield
    except FaultyRulesError as error:
        raise error.told_in(language) from error


def _rules(session: Session, place: JurisdictionRef, found: Version, language: str) -> Response:
    warnings = (
        rule_versions.check(session, catalogue_of(session, place.id), found.text)
        if found.text
        else Checked((), (), ())
    )
    document = _version(found) | {
        "text": found.text,
        # Of an old version its faults too: it may name what the city no longer has.
        "warnings": _remarks((*warnings.faults, *warnings.warnings), language),
    }
    return answer(_RULES, document, version=found.version, is_private=True)


def _version(found: Version) -> dict[str, Any]:
    return {
        "version": found.version,
        "origin": found.origin.value,
        "by": found.by_id,
        "restored": found.restored,
        "created_at": found.created_at,
    }


def _checked(checked: Checked, language: str) -> dict[str, Any]:
    return {
        "is_right": not checked.faults,
        "rules": len(checked.rules),
        "faults": _remarks(checked.faults, language),
        "warnings": _remarks(checked.warnings, language),
    }


def _remarks(faults: Sequence[RuleFault], language: str) -> list[dict[str, object]]:
    return [rule_versions.as_document(fault, language) for fault in faults]


def _tried(trial: Trial) -> dict[str, Any]:
    return {
        "total": trial.total,
        "moved": trial.moved,
        "by_person": trial.persons,
        "urgency": trial.urgency,
        "moves": [
            {
                "before": move.before,
                "after": move.after,
                "count": move.count,
                "examples": list(move.examples),
            }
            for move in trial.moves
        ],
    }
