"""Events of care. Subject: the care, the call, the message. Data: asset_id where there is one."""

from __future__ import annotations

from core.outbox import declare

CARE_LOGGED = declare("care.logged", "Somebody did something for an asset. Data: action.")
CARE_CALLED = declare("care.called", "A passer-by says that an asset needs care. Data: call_id.")
CARE_ANSWERED = declare("care.answered", "An adopter says that a call was a false alarm.")
VOLUNTEERS_WRITTEN = declare(
    "volunteers.addressed", "A coordinator wrote to adopters. Data: message_id."
)
