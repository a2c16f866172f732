"""Reads of campaigns: a city's, their rounds with what was answered, the answers one by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption.queries import AssetRef, refer
from assets.campaigns.models import Campaign, CampaignAsk, CampaignLetter, CampaignRound
from assets.campaigns.vocabulary import Answer, CampaignState
from assets.models import Asset
from core.pagination import BadCursorError, Page, pack, unpack


@dataclass(frozen=True, slots=True)
class Sent:
    """A round and how many assets were answered for, by answer."""

    round: CampaignRound
    answers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of one asset; `answer` None: nothing yet."""

    asset: AssetRef
    adoption_id: UUID
    round_id: UUID
    answer: str | None
    answered_at: datetime | None


def of_places(
    session: Session,
    place_ids: Collection[int],
    *,
    state: CampaignState | None,
    cursor: str | None,
    limit: int,
) -> Page[Campaign]:
    """Campaigns of these cities, the latest first.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    query = sa.select(Campaign).where(Campaign.jurisdiction_id.in_(list(place_ids)))
    if state is not None:
        query = query.where(Campaign.state == state.value)
    rows, following = _paged(session, query, Campaign.id, cursor, limit)
    return Page(rows, following)


def rounds(session: Session, campaign_id: UUID, *, cursor: str | None, limit: int) -> Page[Sent]:
    """The rounds of a campaign, the latest first, with their answers; two statements.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    query = sa.select(CampaignRound).where(CampaignRound.campaign_id == campaign_id)
    rows, following = _paged(session, query, CampaignRound.id, cursor, limit)
    answers: dict[UUID, dict[str, int]] = {}
    for row in session.execute(
        sa.select(CampaignLetter.round_id, CampaignAsk.answer, sa.func.count().label("times"))
        .join(CampaignAsk, CampaignAsk.letter_id == CampaignLetter.id)
        .where(CampaignLetter.round_id.in_([each.id for each in rows]))
        .group_by(CampaignLetter.round_id, CampaignAsk.answer)
    ):
        answers.setdefault(row.round_id, {})[row.answer or "none"] = row.times
    return Page([Sent(each, answers.get(each.id, {})) for each in rows], following)


def answers(
    session: Session,
    campaign_id: UUID,
    *,
    round_id: UUID | None,
    answer: Answer | None,
    cursor: str | None,
    limit: int,
) -> Page[Said]:
    """What was said asset by asset, the latest letters first; who said it is not told.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    query = (
        sa.select(CampaignAsk, CampaignLetter.round_id, Asset)
        .join(CampaignLetter, CampaignLetter.id == CampaignAsk.letter_id)
        .join(CampaignRound, CampaignRound.id == CampaignLetter.round_id)
        .join(Asset, Asset.id == CampaignAsk.asset_id)
        .where(CampaignRound.campaign_id == campaign_id)
    )
    if round_id is not None:
        query = query.where(CampaignRound.id == round_id)
    if answer is not None:
        query = query.where(CampaignAsk.answer == answer.value)
    if cursor is not None:
        query = query.where(CampaignAsk.id < _last(cursor))
    found = session.execute(query.order_by(CampaignAsk.id.desc()).limit(limit + 1)).all()
    following = None
    if len(found) > limit:
        found = found[:limit]
        following = pack(str(found[-1].CampaignAsk.id))
    refs = refer(session, [row.Asset for row in found])
    return Page(
        [
            Said(
                refs[row.Asset.id],
                row.CampaignAsk.adoption_id,
                row.round_id,
                row.CampaignAsk.answer,
                row.CampaignAsk.answered_at,
            )
            for row in found
        ],
        following,
    )


def _paged(
    session: Session, query: Any, column: Any, cursor: str | None, limit: int
) -> tuple[Sequence[Any], str | None]:
    if cursor is not None:
        query = query.where(column < _last(cursor))
    rows = session.scalars(query.order_by(column.desc()).limit(limit + 1)).all()
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], pack(str(rows[limit - 1].id))


def _last(cursor: str) -> UUID:
    try:
        (last,) = unpack(cursor, 1)
        return UUID(str(last))
    except ValueError as error:
        raise BadCursorError(field="cursor") from error
