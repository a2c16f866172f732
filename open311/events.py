"""What can happen between this system and others, as the outbox calls it."""

from __future__ import annotations

from core.outbox import declare

PHOTO_LINKED = declare(
    "photo.linked",
    "A request came with addresses of photos, which have to be fetched. Data: link_ids.",
)

FORWARDING_QUEUED = declare(
    "forwarding.queued",
    "Reports wait to be handed over to another system. Data: forwarding_ids, at most 8.",
)
