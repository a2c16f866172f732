"""Events of helping. Subject: the request for help. Data: help_id, report_id, asset_id."""

from __future__ import annotations

from core.outbox import declare

HELP_ASKED = declare(
    "help.asked", "An adopter is asked about a report at or near their asset. Data: adoption_id."
)
HELP_ANSWERED = declare(
    "help.answered", "An adopter did it, or says that it needs the city. Data: answer, resolved."
)
