"""Events of adoption. Subject: the adoption, the row of the waiting list, the hand-over."""

from __future__ import annotations

from core.outbox import declare

BEGUN = declare("adoption.begun", "Somebody looks after an asset from now on.")
RENEWED = declare("adoption.renewed", "An adopter said that they go on for another term.")
REMINDED = declare(
    "adoption.reminded", "The term of an adoption ends soon or has ended. Data: step."
)
ENDED = declare("adoption.ended", "Somebody looks after an asset no more. Data: reason.")
NAMED = declare("adoption.named", "The name for an asset was approved or refused. Data: decision.")
OFFERED = declare("adoption.offered", "A place became free for somebody on the waiting list.")
HANDOVER_OFFERED = declare(
    "handover.offered", "An adopter offers their asset to somebody, by e-mail."
)
HANDOVER_ANSWERED = declare(
    "handover.answered", "A hand-over was accepted, refused, or not answered. Data: answer."
)
