"""Who changes what is known of a neighbourhood holds it until the end of the transaction.

Trips, repairs, verdicts and rounds of the day all change the same rows. Each of them takes all the
neighbourhoods that it will touch at once and in one order, before it changes the first row: two
that meet do not each decide without the other, and nobody waits in a circle.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import h3.api.basic_int as h3
import sqlalchemy as sa
from sqlalchemy.orm import Session

#: A neighbourhood is an H3 cell of this resolution: 5 km².
RESOLUTION = 7

#: First half of the names of our advisory locks.
_LOCKS = 7_315_402

_TAKE = sa.text(
    "SELECT pg_advisory_xact_lock(:locks, name)"
    " FROM (SELECT unnest(CAST(:names AS int[])) AS name ORDER BY 1) AS held"
)


def hold(session: Session, packets: Iterable[int]) -> None:
    """Wait until nobody else works in the neighbourhoods of these packets, and keep others out."""
    # Half of a lock's name has 32 bits. Two neighbourhoods of one name wait for each other, and
    # nothing else.
    names = {
        zlib.crc32(int(h3.cell_to_parent(packet, RESOLUTION)).to_bytes(8, "big")) - 2**31
        for packet in packets
    }
    if names:
        session.execute(_TAKE, {"locks": _LOCKS, "names": list(names)})
