"""What the telling of things sets off, as the outbox calls it."""

from __future__ import annotations

from core.outbox import declare

DELIVERY_QUEUED = declare(
    "delivery.queued", "Messages wait to be sent. Data: delivery_ids, at most 100."
)
WEBHOOK_PINGED = declare(
    "webhook.pinged", "Somebody tries whether an endpoint hears us. Subject: the endpoint."
)
