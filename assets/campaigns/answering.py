"""“Is it clear?”: what adopters answer by the links of a letter, and being told no more.

A link opens one asset's question or all of a letter's. Opening it changes nothing. “Not yet” and “I
need help” can be followed by another answer; what is clear is answered for good.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from assets.adoption.errors import LinkOverError
from assets.adoption.models import Adoption
from assets.campaigns import events
from assets.campaigns.models import (
    Campaign,
    CampaignAsk,
    CampaignLetter,
    CampaignRefusal,
    CampaignRound,
)
from assets.campaigns.rules import ANSWERED_WITHIN, may_follow
from assets.campaigns.vocabulary import Answer
from assets.care import calling, doing
from assets.care.doing import Done
from assets.care.models import Care
from assets.models import Asset
from assets.vocabulary import STATES_THERE
from core.errors import NotFoundError
from core.outbox import emit
from core.tokens import Purpose, matches

#: Who was written to, and what they said, is of use for a winter.
LETTERS_KEPT = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Asked:
    """One asset of a letter, for whoever opened the link."""

    ask: CampaignAsk
    asset: Asset
    adoption: Adoption

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be said of it."""
        return self.adoption.ended_at is not None or self.ask.answer == Answer.CLEAR


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link opens."""

    campaign: Campaign
    person_id: UUID
    asked: Sequence[Asked]


def to_ask(letter_ids: Collection[UUID] | None = None) -> sa.Select[UUID, UUID]:
    """Ids of letters and asks that wait for a word: nobody has cared since, it is still theirs.

    Args:
        letter_ids: of these letters; None leaves it to the caller.
    """
    cared = sa.exists().where(
        Care.asset_id == CampaignAsk.asset_id,
        sa.not_(Care.is_problem),
        Care.at >= CampaignRound.sent_at,
    )
    query = (
        sa.select(CampaignAsk.letter_id, CampaignAsk.id)
        .join(CampaignLetter, CampaignLetter.id == CampaignAsk.letter_id)
        .join(CampaignRound, CampaignRound.id == CampaignLetter.round_id)
        .join(Adoption, Adoption.id == CampaignAsk.adoption_id)
        .join(Asset, Asset.id == CampaignAsk.asset_id)
        .where(
            CampaignAsk.answer.is_(None),
            Adoption.ended_at.is_(None),
            Asset.state.in_([state.value for state in STATES_THERE]),
            sa.not_(cared),
        )
    )
    return query if letter_ids is None else query.where(CampaignAsk.letter_id.in_(letter_ids))


def of_link(session: Session, row_id: UUID, token: str, *, secret: str, now: datetime) -> Opened:
    """What the link of an asset or of a letter opens.

    Raises:
        NotFoundError: it is no such token.
        LinkOverError: it was answered, it came too late, or the asset is no longer theirs.
    """
    if not matches(secret, Purpose.CLEAR, row_id, 1, token):
        raise NotFoundError
    row = session.execute(
        sa.select(CampaignLetter, CampaignRound, Campaign)
        .join(CampaignRound, CampaignRound.id == CampaignLetter.round_id)
        .join(Campaign, Campaign.id == CampaignRound.campaign_id)
        .where(
            CampaignLetter.id.in_(
                sa.select(CampaignAsk.letter_id)
                .where(CampaignAsk.id == row_id)
                .union_all(sa.select(sa.literal(row_id, sa.Uuid())))
            )
        )
    ).first()
    if row is None:
        raise NotFoundError
    letter, made, campaign = row
    since = made.followed_up_at or made.follow_up_at or made.sent_at
    if now > since + ANSWERED_WITHIN:
        raise LinkOverError
    asked = [
        Asked(*each)
        for each in session.execute(
            sa.select(CampaignAsk, Asset, Adoption)
            .join(Asset, Asset.id == CampaignAsk.asset_id)
            .join(Adoption, Adoption.id == CampaignAsk.adoption_id)
            .where(sa.or_(CampaignAsk.id == row_id, CampaignAsk.letter_id == row_id))
            .order_by(Asset.code, CampaignAsk.id)
            .execution_options(populate_existing=True)
        )
    ]
    if all(each.is_over for each in asked):
        raise LinkOverError
    return Opened(campaign, letter.person_id, asked)


def answer(
    session: Session,
    opened: Opened,
    ask_ids: Collection[UUID] | None,
    said: Answer,
    *,
    now: datetime,
) -> int:
    """Take an answer for some of what a link opened, or for all; for how many.

    “Clear” logs the campaign's action as care; “help” puts the asset on the coordinators' list.

    Raises:
        NotFoundError: none of these assets is the link's.
        LinkOverError: they were answered meanwhile.
    """
    meant = [each for each in opened.asked if ask_ids is None or each.ask.id in ask_ids]
    if not meant:
        raise NotFoundError
    count = 0
    for each in meant:
        ask = session.get_one(
            CampaignAsk, each.ask.id, with_for_update=True, populate_existing=True
        )
        before = Answer(ask.answer) if ask.answer is not None else None
        if each.adoption.ended_at is not None or not may_follow(before, said):
            continue
        if said is Answer.CLEAR:
            done = Done(opened.campaign.action)
            ask.care_id = doing.log(session, opened.person_id, ask.asset_id, done, now=now).id
        elif said is Answer.HELP:
            calling.ask_for_help(session, each.asset, opened.person_id, now=now)
        ask.answer, ask.answered_at = said.value, now
        emit(
            session,
            events.CAMPAIGN_ANSWERED,
            ask.id,
            jurisdiction_id=opened.campaign.jurisdiction_id,
            campaign_id=str(opened.campaign.id),
            asset_id=str(ask.asset_id),
            answer=said.value,
        )
        count += 1
    session.flush()
    if not count:
        raise LinkOverError
    return count


def letter_of_link(session: Session, letter_id: UUID, token: str, *, secret: str) -> CampaignLetter:
    """The letter by whose link somebody says that they want no more of them.

    Raises:
        NotFoundError
    """
    if not matches(secret, Purpose.LEAVE_CAMPAIGNS, letter_id, 1, token):
        raise NotFoundError
    letter = session.get(CampaignLetter, letter_id)
    if letter is None:
        raise NotFoundError
    return letter


def refuse(session: Session, letter: CampaignLetter, *, now: datetime) -> None:
    """No campaigns of that city any more. Twice is once."""
    session.execute(
        postgresql.insert(CampaignRefusal)
        .values(person_id=letter.person_id, jurisdiction_id=place_of(session, letter), at=now)
        .on_conflict_do_nothing()
    )


def allow_again(session: Session, letter: CampaignLetter) -> None:
    """Campaigns of that city after all."""
    session.execute(
        sa.delete(CampaignRefusal)
        .where(
            CampaignRefusal.person_id == letter.person_id,
            CampaignRefusal.jurisdiction_id == place_of(session, letter),
        )
        .execution_options(synchronize_session=False)
    )


def forget_old(session: Session, *, now: datetime, limit: int = 5000) -> int:
    """Forget to whom old rounds wrote and what was answered; rounds keep their counts. How many."""
    old = (
        sa.select(CampaignLetter.id)
        .join(CampaignRound, CampaignRound.id == CampaignLetter.round_id)
        .where(CampaignRound.sent_at < now - LETTERS_KEPT)
        .limit(limit)
    )
    gone = session.execute(
        sa.delete(CampaignLetter)
        .where(CampaignLetter.id.in_(old))
        .returning(CampaignLetter.id)
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())


def place_of(session: Session, letter: CampaignLetter) -> int:
    """The city whose campaign a letter is of."""
    found = session.scalar(
        sa.select(Campaign.jurisdiction_id)
        .join(CampaignRound, CampaignRound.campaign_id == Campaign.id)
        .where(CampaignRound.id == letter.round_id)
    )
    assert found is not None
    return found
