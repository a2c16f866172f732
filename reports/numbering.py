"""The short numbers that people call a request by: one sequence per jurisdiction.

A sequence does not wait for other transactions to commit, as a counter row would; a request that
is rolled back leaves a gap, which no one minds.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session


def sequence_name(jurisdiction_id: int) -> str:
    """Name of the sequence that numbers a jurisdiction's requests."""
    return f"report_numbers_{int(jurisdiction_id)}"


def ensure(session: Session, jurisdiction_id: int) -> None:
    """Make the jurisdiction's sequence if there is none, in the caller's transaction."""
    name = sequence_name(jurisdiction_id)
    session.execute(sa.text(f"CREATE SEQUENCE IF NOT EXISTS {name} START 1001"))
