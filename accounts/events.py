"""What can happen around people, as the outbox calls it."""

from __future__ import annotations

from core.outbox import declare

SIGN_IN_ASKED = declare(
    "sign_in.asked", "Somebody asked for a sign-in link or code. Subject: the challenge."
)
