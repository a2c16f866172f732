"""The webhook of other systems: where they tell of a step by themselves, instead of being asked.

It takes what `servicerequestupdates` of FixMyStreet takes, as a form or as JSON, one step or
several, and the secret of the endpoint as `api_key` or bearer. The answer is JSON, errors the
standard's list.
"""

from __future__ import annotations

from typing import Any

import structlog
from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from accounts.access import TOKEN, allow
from core.clock import utc_now
from core.db import transaction
from open311 import answers, polling
from open311.answers import ForeignUpdate, Unreadable
from open311.downstream import endpoint_named, is_webhook_secret
from open311.faults import Fault, Refusal, missing, wrong

log = structlog.get_logger()

blueprint = Blueprint("open311_downstream", __name__)

#: Steps of one call.
_MOST = 200


@blueprint.post("/open311/downstream/<name>/updates")
@blueprint.post("/open311/downstream/<name>/updates.json")
@allow(TOKEN)
def receive(name: str) -> Response:
    """Take in the steps that another system tells of; the same one once."""
    if not is_webhook_secret(current_app.config["SECRET_KEY"], name, _shown()):
        raise Refusal([Fault(403, "api_key: the secret of this endpoint was not shown")])
    now = utc_now()
    with transaction() as session:
        endpoint = endpoint_named(session, name)
        if endpoint is None:
            raise Refusal([missing("there is no such endpoint")])
        steps = answers.updates(_content(), endpoint.zone)
        _check(steps)
        outcomes = [polling.take_update(session, endpoint, step, now=now) for step in steps]
    log.info("downstream.heard", endpoint=name, steps=len(steps), outcomes=sorted(set(outcomes)))
    if "unknown_request" in outcomes and len(set(outcomes)) == 1:
        raise Refusal([missing("service_request_id: there is no such request")])
    return jsonify([{"update_id": step.id} for step in steps])


@blueprint.errorhandler(Refusal)
def _refused(refusal: Refusal) -> tuple[Response, int]:
    return jsonify([fault.document() for fault in refusal.faults]), refusal.status


@blueprint.errorhandler(Unreadable)
def _unreadable(_error: Unreadable) -> tuple[Response, int]:
    return _refused(Refusal([wrong("the steps cannot be read")]))


@blueprint.errorhandler(HTTPException)
def _unfit(error: HTTPException) -> tuple[Response, int]:
    return _refused(Refusal([wrong(error.name)]))


def _shown() -> str | None:
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    return (
        request.form.get("api_key")
        or request.args.get("api_key")
        or (token.strip() if scheme.lower() == "bearer" else None)
    )


def _content() -> Any:
    if request.form or not request.data:
        return [{**request.args.to_dict(), **request.form.to_dict()}]
    return answers.read(request.data)


def _check(steps: list[ForeignUpdate]) -> None:
    """Note everything that is missing before anything is taken in."""
    faults = []
    if len(steps) > _MOST:
        faults.append(wrong(f"at most {_MOST} steps at a time"))
    if not steps or any(step.request_id is None for step in steps):
        faults.append(wrong("service_request_id was not provided"))
    if any(
        step.status is None and step.description is None and step.media_url is None
        for step in steps
    ):
        faults.append(wrong("a status, a description or a media_url was not provided"))
    if faults:
        raise Refusal(faults)
