"""Events of corrections. Subject: the correction. Data: what, asset_id where there is one."""

from __future__ import annotations

from core.outbox import declare

CORRECTION_PROPOSED = declare(
    "correction.proposed", "Somebody says that the register is wrong. Data: what."
)
CORRECTION_DECIDED = declare(
    "correction.decided",
    "A correction was accepted, rejected, withdrawn or overtaken. Data: what, decision.",
)
