"""What falls due by the clock: reminders before the end of a term, nudges after it, the lapse.

The beat finds what is due by an index; a batch costs a fixed number of statements, but for those
that lapse, whose assets each have a next in line. Running twice finds nothing the second time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption import events, holding
from assets.adoption.models import Adoption, AdoptionEntry
from assets.adoption.rules import Taken, next_step, take_step
from assets.adoption.vocabulary import EndReason, Entry, Step
from assets.kinds import kinds_of
from assets.models import Asset
from core.outbox import Happening, emit_many

#: Adoptions of one transaction.
AT_A_TIME = 200


def take_steps(session: Session, *, now: datetime, limit: int = AT_A_TIME) -> int:
    """Remind, nudge or end what is due, in the caller's transaction; how many adoptions.

    What somebody else is changing at this moment is left for the next time.
    """
    due = (
        sa.select(Adoption.asset_id)
        .where(Adoption.ended_at.is_(None), Adoption.next_step_at <= now)
        .order_by(Adoption.next_step_at)
        .limit(limit)
    )
    assets = {
        asset.id: asset
        for asset in session.scalars(
            sa.select(Asset)
            .where(Asset.id.in_(due.scalar_subquery()))
            .order_by(Asset.id)
            .with_for_update(key_share=True, skip_locked=True)
            .execution_options(populate_existing=True)
        )
    }
    if not assets:
        return 0
    adoptions = session.scalars(
        sa.select(Adoption)
        .where(
            Adoption.asset_id.in_(list(assets)),
            Adoption.ended_at.is_(None),
            Adoption.next_step_at <= now,
        )
        .order_by(Adoption.id)
        .execution_options(populate_existing=True)
    ).all()
    told: list[tuple[Adoption, Taken | None]] = []
    for adoption in adoptions:
        rules = kinds_of(session, adoption.jurisdiction_id).by_id[adoption.kind_id].adoption
        taken = take_step(
            adoption.until,
            rules,
            reminded=adoption.reminded,
            nudged=adoption.nudged,
            nudged_at=adoption.nudged_at,
            now=now,
        )
        if taken is not None and taken.step is Step.LAPSE:
            holding.end(
                session,
                adoption,
                assets[adoption.asset_id],
                EndReason.LAPSED,
                actor_id=None,
                now=now,
            )
        else:
            # None where the kind's rules were changed: the step is due later than was noted.
            told.append((adoption, taken))
    _note(session, told, now)
    return len(adoptions)


def _note(session: Session, told: Sequence[tuple[Adoption, Taken | None]], now: datetime) -> None:
    """Store what was taken, with one statement each for rows, history and events."""
    if not told:
        return
    rows = []
    for adoption, taken in told:
        rules = kinds_of(session, adoption.jurisdiction_id).by_id[adoption.kind_id].adoption
        is_nudge = taken is not None and taken.step is Step.NUDGE
        nudged_at = now if is_nudge else adoption.nudged_at
        reminded, nudged = (
            (adoption.reminded, adoption.nudged)
            if taken is None
            else (taken.reminded, taken.nudged)
        )
        following = next_step(
            adoption.until, rules, reminded=reminded, nudged=nudged, nudged_at=nudged_at
        )
        rows.append(
            {
                "id": str(adoption.id),
                "reminded": reminded,
                "nudged": nudged,
                "nudged_at": nudged_at and nudged_at.isoformat(),
                "next_step_at": following.at.isoformat(),
            }
        )
    sent = [
        (adoption.id, adoption.jurisdiction_id, adoption.asset_id, taken.step)
        for adoption, taken in told
        if taken is not None
    ]
    session.execute(_STORE, {"rows": json.dumps(rows)})
    session.expire_all()
    if not sent:
        return
    session.execute(
        sa.insert(AdoptionEntry),
        [
            {
                "adoption_id": adoption_id,
                "at": now,
                "entry": (Entry.NUDGED if step is Step.NUDGE else Entry.REMINDED).value,
                "data": {},
            }
            for adoption_id, _, _, step in sent
        ],
    )
    emit_many(
        session,
        events.REMINDED,
        [
            Happening(
                adoption_id,
                place_id,
                {
                    "adoption_id": str(adoption_id),
                    "asset_id": str(asset_id),
                    "step": step.value,
                },
            )
            for adoption_id, place_id, asset_id, step in sent
        ],
    )


_STORE = sa.text(
    """
    UPDATE adoptions AS a
       SET reminded = row.reminded, nudged = row.nudged, nudged_at = row.nudged_at,
           next_step_at = row.next_step_at
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row(
           id uuid, reminded smallint, nudged smallint, nudged_at timestamptz,
           next_step_at timestamptz
      )
     WHERE a.id = row.id
    """
)
