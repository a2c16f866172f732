"""Who asks to be told: other systems by webhook, browsers by web push.

Followers are `reports.conversation`'s. An endpoint's secret and a browser's link are never stored
readable: the first is derived from the key, the second is what the browser itself gave.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.actors import Scope
from core import outgoing
from core.errors import ConflictError, InvalidError, NotFoundError
from core.ids import new_id
from core.outbox import emit
from core.outgoing import Allowance, OutgoingRefusedError
from notifications.announcing import HEARD, PRIVATE
from notifications.events import WEBHOOK_PINGED
from notifications.models import PushSubscription, WebhookEndpoint
from notifications.rendering import webhook_secret
from reports import conversation
from reports.models import Follower

#: Events that an endpoint can ask for.
OFFERED = tuple(sorted(str(event) for event in HEARD if str(event) not in PRIVATE))

#: Each event is sent to every endpoint of a city, so there must be an end to them.
MAX_ENDPOINTS = 50


class CallableURLError(InvalidError):
    """We will not call this URL."""

    code = "url_not_callable"
    title = "This URL cannot be called from here"


class TooManyEndpointsError(ConflictError):
    """The jurisdiction has as many endpoints as it may have."""

    code = "too_many_endpoints"
    title = "There are too many endpoints"


@dataclass(frozen=True, slots=True)
class Secret:
    """A fresh endpoint, or an endpoint's fresh key: shown once."""

    endpoint: WebhookEndpoint
    secret: str


def add_endpoint(
    session: Session,
    *,
    jurisdiction_id: int,
    url: str,
    events: Collection[str],
    by: UUID | None,
    allow: Allowance,
    secret: str,
    now: datetime,
) -> Secret:
    """A new endpoint with its key. `events` empty: all that there are and will be.

    Raises:
        CallableURLError
        TooManyEndpointsError
    """
    _check_callable(url, allow)
    present = session.scalar(
        sa.select(sa.func.count())
        .select_from(WebhookEndpoint)
        .where(WebhookEndpoint.jurisdiction_id == jurisdiction_id)
    )
    if (present or 0) >= MAX_ENDPOINTS:
        raise TooManyEndpointsError
    endpoint = WebhookEndpoint(
        id=new_id(),
        jurisdiction_id=jurisdiction_id,
        url=url,
        events=sorted(set(events)),
        secret_version=1,
        created_by=by,
        created_at=now,
    )
    session.add(endpoint)
    session.flush()
    return Secret(endpoint, webhook_secret(secret, endpoint.id, endpoint.secret_version))


def endpoints(
    session: Session, scope: Scope, *, after: UUID | None, limit: int
) -> Sequence[WebhookEndpoint]:
    """The endpoints of the jurisdictions in a scope, oldest first."""
    query = sa.select(WebhookEndpoint).where(
        WebhookEndpoint.jurisdiction_id.in_(scope.jurisdiction_ids)
    )
    if after is not None:
        query = query.where(WebhookEndpoint.id > after)
    return session.scalars(query.order_by(WebhookEndpoint.id).limit(limit)).all()


def endpoint_of(session: Session, scope: Scope, endpoint_id: UUID) -> WebhookEndpoint:
    """One endpoint, locked, for somebody who may manage it.

    Raises:
        NotFoundError: there is none in their scope.
    """
    found = session.scalar(
        sa.select(WebhookEndpoint)
        .where(
            WebhookEndpoint.id == endpoint_id,
            WebhookEndpoint.jurisdiction_id.in_(scope.jurisdiction_ids),
        )
        .with_for_update()
    )
    if found is None:
        raise NotFoundError
    return found


def ping(session: Session, endpoint: WebhookEndpoint) -> None:
    """Have a test event sent there; one that was switched off for failing is switched on."""
    endpoint.disabled_at = None
    endpoint.failing_since = None
    session.flush()
    emit(session, WEBHOOK_PINGED, endpoint.id, jurisdiction_id=endpoint.jurisdiction_id)


def renew_secret(session: Session, endpoint: WebhookEndpoint, *, secret: str) -> Secret:
    """Another key for an endpoint; calls are signed with it from now on."""
    endpoint.secret_version += 1
    session.flush()
    return Secret(endpoint, webhook_secret(secret, endpoint.id, endpoint.secret_version))


def remove_endpoint(session: Session, endpoint: WebhookEndpoint) -> None:
    """Call it no more; what is queued for it is dropped when its turn comes."""
    session.delete(endpoint)
    session.flush()


def subscribe_person(
    session: Session, person_id: UUID, endpoint: str, keys: Mapping[str, str], *, now: datetime
) -> UUID:
    """Tell a browser of all reports that a person follows. The subscription's id.

    Raises:
        CallableURLError
    """
    return _subscribe(session, endpoint, keys, now, person_id=person_id)


def subscribe_reporter(
    session: Session,
    report_id: UUID,
    token: str,
    endpoint: str,
    keys: Mapping[str, str],
    *,
    locale: str,
    secret: str,
    now: datetime,
) -> UUID:
    """Tell a browser of one report, for the holder of its tracking link. The subscription's id.

    Somebody who reported without leaving an address can be told in this way alone.

    Raises:
        NotFoundError: that is not the report's tracking token.
        CallableURLError
    """
    if not conversation.holds_link(session, report_id, token, secret=secret):
        raise NotFoundError
    follower_id = session.scalar(
        sa.select(Follower.id)
        .where(Follower.report_id == report_id, Follower.is_reporter)
        .order_by(Follower.created_at, Follower.id)
        .limit(1)
    )
    if follower_id is None:
        follower = Follower(
            id=new_id(),
            report_id=report_id,
            is_reporter=True,
            locale=locale,
            confirmed_at=now,
            created_at=now,
        )
        session.add(follower)
        session.flush()
        follower_id = follower.id
    return _subscribe(session, endpoint, keys, now, follower_id=follower_id)


def unsubscribe(session: Session, subscription_id: UUID) -> None:
    """Forget a browser. Its id is known to that browser alone.

    Raises:
        NotFoundError: there is none.
    """
    gone = session.execute(
        sa.delete(PushSubscription)
        .where(PushSubscription.id == subscription_id)
        .returning(PushSubscription.id)
        .execution_options(synchronize_session=False)
    ).all()
    if not gone:
        raise NotFoundError


def _subscribe(
    session: Session,
    endpoint: str,
    keys: Mapping[str, str],
    now: datetime,
    *,
    follower_id: UUID | None = None,
    person_id: UUID | None = None,
) -> UUID:
    """One row per browser: asking again moves it to the newer wish."""
    _check_callable(endpoint, outgoing.NOTHING_ALLOWED, field="endpoint")
    values = {
        "keys": {"p256dh": keys["p256dh"], "auth": keys["auth"]},
        "follower_id": follower_id,
        "person_id": person_id,
        "created_at": now,
        "gone_at": None,
    }
    found: UUID = session.execute(
        postgresql.insert(PushSubscription)
        .values(id=new_id(), endpoint=endpoint, **values)
        .on_conflict_do_update(index_elements=["endpoint"], set_=values)
        .returning(PushSubscription.id)
    ).scalar_one()
    return found


def _check_callable(url: str, allow: Allowance, *, field: str = "url") -> None:
    """HTTPS, but inside the networks that the operator allows: nobody else can read those.

    The address behind the name is checked at each call; here only what the text tells.
    """
    try:
        scheme, host, _, _ = outgoing.check_url(url)
    except OutgoingRefusedError as error:
        raise CallableURLError(f"This URL cannot be called: {error}.", field=field) from error
    if urlsplit(url).fragment:
        raise CallableURLError("A URL to call has no fragment.", field=field)
    if scheme != "https" and not allow.names(host):
        raise CallableURLError("Use https.", field=field)
