"""Webhooks for other systems, and web push for browsers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import current_app, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import audit
from accounts.access import EVERYONE, allow, current_actor, permission
from accounts.actors import Scope
from accounts.audit import Action, Subject
from accounts.rules import Permission
from core import pagination
from core.api import keep_nowhere
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import ForbiddenError, InvalidError, NotSignedInError
from core.i18n import asked_for, language_of
from core.outgoing import Allowance
from geo import jurisdictions
from notifications import subscribing
from notifications.channels import ChannelSettings
from notifications.channels.vapid import public_key
from notifications.models import WebhookEndpoint
from notifications.schemas import (
    PushIn,
    PushKeyOut,
    PushOut,
    WebhookIn,
    WebhookOut,
    WebhookSecretOut,
    WebhooksOut,
    WebhooksQuery,
)
from notifications.subscribing import Secret

blueprint = Blueprint(
    "notifications", __name__, description="Being told: other systems, and browsers."
)

_MANAGE = permission(Permission.MANAGE_CITY)


blueprint.after_request(keep_nowhere)


@blueprint.route("/webhooks", methods=["POST"])
@allow(_MANAGE)
@blueprint.arguments(WebhookIn)
@blueprint.response(201, WebhookSecretOut)
@blueprint.alt_response(409, description="The jurisdiction has as many as it may have")
def add_webhook(sent: dict[str, Any]) -> dict[str, Any]:
    """Have events posted to a server of yours, signed as Standard Webhooks says.

    The answer shows the key, once. Calls that fail are repeated for about two days, under the same
    `webhook-id`.
    """
    with transaction() as session:
        made = subscribing.add_endpoint(
            session,
            jurisdiction_id=_jurisdiction(session, sent.get("jurisdiction")),
            url=sent["url"],
            events=sent["events"],
            by=current_actor().person_id,
            allow=Allowance.parse(_settings().outgoing_allow),
            secret=_secret(),
            now=utc_now(),
        )
        _enter(session, made.endpoint)
        return _with_secret(session, made)


@blueprint.route("/webhooks", methods=["GET"])
@allow(_MANAGE)
@blueprint.arguments(WebhooksQuery, location="query")
@blueprint.response(200, WebhooksOut)
def webhooks(query: dict[str, Any]) -> dict[str, Any]:
    """The endpoints of the jurisdictions that you manage."""
    after = _after(query.get("cursor"))
    limit = query["limit"]
    with reading() as session:
        found = list(subscribing.endpoints(session, _scope(), after=after, limit=limit + 1))
        shown = [_shown(session, endpoint) for endpoint in found[:limit]]
    more = pagination.pack(str(found[limit - 1].id)) if len(found) > limit else None
    return {"items": shown, "next": more}


@blueprint.route("/webhooks/<uuid:endpoint_id>", methods=["GET"])
@allow(_MANAGE)
@blueprint.response(200, WebhookOut)
def webhook(endpoint_id: UUID) -> dict[str, Any]:
    """One endpoint: whether it fails, since when, whether it was switched off for that."""
    with reading() as session:
        return _shown(session, subscribing.endpoint_of(session, _scope(), endpoint_id))


@blueprint.route("/webhooks/<uuid:endpoint_id>", methods=["DELETE"])
@allow(_MANAGE)
@blueprint.response(204)
def remove_webhook(endpoint_id: UUID) -> None:
    """Have it called no more."""
    with transaction() as session:
        endpoint = subscribing.endpoint_of(session, _scope(), endpoint_id)
        _enter(session, endpoint)
        subscribing.remove_endpoint(session, endpoint)


@blueprint.route("/webhooks/<uuid:endpoint_id>/test", methods=["POST"])
@allow(_MANAGE)
@blueprint.response(202, WebhookOut)
def try_webhook(endpoint_id: UUID) -> dict[str, Any]:
    """Have `webhook.pinged` sent there; one that was switched off for failing is switched on."""
    with transaction() as session:
        endpoint = subscribing.endpoint_of(session, _scope(), endpoint_id)
        subscribing.ping(session, endpoint)
        _enter(session, endpoint)
        return _shown(session, endpoint)


@blueprint.route("/webhooks/<uuid:endpoint_id>/secret", methods=["POST"])
@allow(_MANAGE)
@blueprint.response(200, WebhookSecretOut)
def renew_webhook_secret(endpoint_id: UUID) -> dict[str, Any]:
    """Another key, shown once; calls are signed with it from now on."""
    with transaction() as session:
        endpoint = subscribing.endpoint_of(session, _scope(), endpoint_id)
        made = subscribing.renew_secret(session, endpoint, secret=_secret())
        _enter(session, endpoint)
        return _with_secret(session, made)


@blueprint.route("/push-subscriptions/key", methods=["GET"])
@allow(EVERYONE)
@blueprint.response(200, PushKeyOut)
def push_key() -> dict[str, str | None]:
    """The key a browser needs to subscribe to web push."""
    key = _settings().vapid_private_key
    return {"public_key": public_key(key) if key else None}


@blueprint.route("/push-subscriptions", methods=["POST"])
@allow(EVERYONE)
@blueprint.arguments(PushIn)
@blueprint.response(201, PushOut)
@blueprint.alt_response(404, description="That is not the report's tracking token")
def add_push_subscription(sent: dict[str, Any]) -> dict[str, UUID]:
    """Have a browser told: of one report, with its tracking token; or, signed in, of all you
    follow.

    A browser has one subscription: another call with the same `endpoint` replaces it.
    """
    now = utc_now()
    with transaction() as session:
        if "report_id" in sent:
            locale = asked_for(request.accept_languages)
            made = subscribing.subscribe_reporter(
                session,
                sent["report_id"],
                sent.get("tracking_token", ""),
                sent["endpoint"],
                sent["keys"],
                locale=language_of(locale),
                secret=_secret(),
                now=now,
            )
        else:
            person_id = current_actor().person_id
            if person_id is None:
                raise NotSignedInError("Sign in, or name a report with its tracking token.")
            made = subscribing.subscribe_person(
                session, person_id, sent["endpoint"], sent["keys"], now=now
            )
    return {"id": made}


@blueprint.route("/push-subscriptions/<uuid:subscription_id>", methods=["DELETE"])
@allow(EVERYONE)
@blueprint.response(204)
def remove_push_subscription(subscription_id: UUID) -> None:
    """Have that browser told no more."""
    with transaction() as session:
        subscribing.unsubscribe(session, subscription_id)


def _enter(session: Session, endpoint: WebhookEndpoint) -> None:
    """Enter the change in the audit log, in its own transaction."""
    audit.record(
        session,
        current_actor(),
        Action.WEBHOOK_CHANGED,
        Subject("webhook", endpoint.id, endpoint.jurisdiction_id),
        now=utc_now(),
        data={"what": (request.endpoint or "").rpartition(".")[2]},
    )


def _settings() -> ChannelSettings:
    settings: ChannelSettings = current_app.extensions["settings"]
    return settings


def _secret() -> str:
    secret: str = current_app.config["SECRET_KEY"]
    return secret


def _scope() -> Scope:
    return current_actor().scope(Permission.MANAGE_CITY)


def _jurisdiction(session: Session, code: str | None) -> int:
    """The jurisdiction that a new endpoint is for, by its code or because there is but one."""
    managed = _scope().jurisdiction_ids
    if code is not None:
        place = jurisdictions.by_code(session, code)
        if place.id not in managed:
            raise ForbiddenError
        return place.id
    if not managed:
        # A manager of one team: endpoints hear of the whole city.
        raise ForbiddenError
    if len(managed) > 1:
        raise InvalidError("Say which: you manage several.", field="jurisdiction")
    return next(iter(managed))


def _after(cursor: str | None) -> UUID | None:
    if cursor is None:
        return None
    try:
        return UUID(pagination.unpack(cursor, 1)[0])
    except (ValueError, AttributeError, TypeError) as error:
        raise pagination.BadCursorError(field="cursor") from error


def _shown(session: Session, endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "jurisdiction": jurisdictions.by_id(session, endpoint.jurisdiction_id).code,
        "url": endpoint.url,
        "events": endpoint.events,
        "created_at": endpoint.created_at,
        "failing_since": endpoint.failing_since,
        "disabled_at": endpoint.disabled_at,
    }


def _with_secret(session: Session, made: Secret) -> dict[str, Any]:
    return {**_shown(session, made.endpoint), "secret": made.secret}
