"""People whom routing rules name: `person ann@city.example`, `copy to …`, or a comment.

Addresses in rules are meant for functions: a desk, a mailbox that several read. Nothing can tell
such an address from a person's own, so none is refused, and whoever asks what is held on them is
answered. Erasing takes them out of the texts of earlier versions, which are history. The rules in
force stay: they say who gets which report, and only a manager can say who shall get it instead.
Erasing names them, so that somebody does.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo.models import Jurisdiction
from reports.masking import Identifiers, mask
from reports.models import RoutingRuleVersion

_V = RoutingRuleVersion


def held(session: Session, words: Identifiers) -> list[dict[str, Any]]:
    """Every line of a version that names them: jurisdiction, version, is_in_force, line, text."""
    return [
        {
            "jurisdiction": row.jurisdiction,
            "version": row.version,
            "is_in_force": row.is_in_force,
            "line": number,
            "text": line.strip(),
        }
        for row in _naming(session, words)
        for number, line in enumerate(row.text.splitlines(), start=1)
        if mask(line, words.exact) != line
    ]


def forget(session: Session, words: Identifiers) -> tuple[int, list[str]]:
    """Take them out of earlier versions; how many changed, and what stays and why.

    In the caller's transaction. A version without its addresses can be read and not restored: the
    place where somebody must be named anew is a fault in it.
    """
    changed, kept = 0, []
    for row in _naming(session, words):
        if row.is_in_force:
            kept.append(
                f"the routing rules of {row.jurisdiction} in force name the address: a manager"
                " has to change them, then erase once more"
            )
            continue
        text = mask(row.text, words.exact)
        session.execute(
            sa.update(_V)
            .where(_V.id == row.id)
            .values(text=text)
            .execution_options(synchronize_session=False)
        )
        changed += 1
    return changed, kept


def _naming(session: Session, words: Identifiers) -> list[Any]:
    """The versions that name them; a city has few enough to look through all."""
    if words.exact.is_empty:
        return []
    latest = (
        sa.select(_V.jurisdiction_id, sa.func.max(_V.version).label("version"))
        .group_by(_V.jurisdiction_id)
        .subquery()
    )
    rows = session.execute(
        sa.select(
            _V.id,
            _V.version,
            _V.text,
            Jurisdiction.code.label("jurisdiction"),
            (_V.version == latest.c.version).label("is_in_force"),
        )
        .join(latest, latest.c.jurisdiction_id == _V.jurisdiction_id)
        .join(Jurisdiction, Jurisdiction.id == _V.jurisdiction_id)
        .order_by(Jurisdiction.code, _V.version)
    )
    return [row for row in rows if mask(row.text, words.exact) != row.text]
