"""Photos that came as addresses: claim, fetch, record, with nothing open in between.

What happens in each step is `open311.fetching`'s business; here are the transactions around them.
Killed anywhere, the lease runs out and the next one goes on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection

from flask import current_app

from core.clock import utc_now
from core.db import transaction
from core.outgoing import Allowance
from open311 import awaiting
from workers.reacting import Counts

#: A sweep begins no further batch after so long.
_SWEEPING_S = 20.0


def fetch(ids: Collection[int] | None) -> Counts:
    """Fetch one batch of photos that are due: of these, or of all."""
    settings = current_app.extensions["settings"]
    with transaction() as session:
        wanted = awaiting.claim(session, now=utc_now(), ids=ids)
    if not wanted:
        return {}
    # With it comes what decodes photos, and most processes never see one.
    from open311 import fetching

    with fetching.open_line(Allowance.parse(settings.outgoing_allow)) as line:
        outcomes = fetching.fetch(wanted, line, current_app.extensions["storage"])
    with transaction() as session:
        counts = fetching.record(session, outcomes, now=utc_now())
    return {"claimed": len(wanted), **counts}


def fetch_due() -> Counts:
    """Fetch all photos that are due now, batch by batch."""
    total: Counter[str] = Counter()
    stop_at = time.monotonic() + _SWEEPING_S
    while time.monotonic() < stop_at:
        counts = fetch(None)
        total.update(counts)
        if counts.get("claimed", 0) < awaiting.BATCH:
            break
    return total
