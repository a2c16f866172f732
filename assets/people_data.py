"""What the register holds on one person: what they look after, wait for and were offered.

Versions of assets and the history of adoptions keep ids; without the account they are the ids of
somebody without a name.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.people_data import Erased, Held, HeldFile, Who
from assets import photos
from assets.adoption import holding
from assets.adoption.models import Adoption, AdoptionEntry, AdoptionWait, Handover
from assets.adoption.vocabulary import WAITS, EndReason, HandoverState
from assets.campaigns.models import (
    CampaignAsk,
    CampaignLetter,
    CampaignRefusal,
    CampaignRound,
)
from assets.care.models import Care, CareCall
from assets.corrections.models import Correction, CorrectionConfirmation
from assets.helping.models import HelpRequest
from assets.models import Asset
from assets.photo_models import AssetPhoto, PhotoState
from reports.media.showing import Size
from reports.media.staging import cleaned_key
from reports.models import Note


def names(_session: Session, _who: Who) -> frozenset[str]:
    """None: a name is the account's."""
    return frozenset()


def held(session: Session, who: Who) -> Held:
    """What somebody looks or looked after, where they wait, what they are offered."""
    return Held(
        {
            "adoptions": _rows(
                session,
                sa.select(
                    Adoption.id,
                    Adoption.asset_id,
                    Asset.code.label("asset"),
                    Adoption.begun_at,
                    Adoption.until,
                    Adoption.renewed_at,
                    Adoption.shows_name,
                    Adoption.name,
                    Adoption.name_wanted,
                    Adoption.name_reason,
                    Adoption.ended_at,
                    Adoption.ended_because,
                    Adoption.end_note,
                )
                .join(Asset, Asset.id == Adoption.asset_id)
                .where(Adoption.person_id == who.person_id)
                .order_by(Adoption.id),
            ),
            "adoption_history": _rows(
                session,
                sa.select(AdoptionEntry.adoption_id, AdoptionEntry.at, AdoptionEntry.entry)
                .join(Adoption, Adoption.id == AdoptionEntry.adoption_id)
                .where(Adoption.person_id == who.person_id)
                .order_by(AdoptionEntry.id),
            ),
            "care": _rows(
                session,
                sa.select(
                    Care.asset_id,
                    Care.action,
                    Care.at,
                    Care.minutes,
                    Care.quantity,
                    Care.note,
                )
                .where(Care.person_id == who.person_id)
                .order_by(Care.id),
            ),
            "help_requests": _rows(
                session,
                sa.select(
                    HelpRequest.report_id,
                    HelpRequest.asset_id,
                    HelpRequest.asked_at,
                    HelpRequest.state,
                    HelpRequest.answered_at,
                    Note.body.label("note"),
                )
                .outerjoin(Note, Note.id == HelpRequest.note_id)
                .where(HelpRequest.person_id == who.person_id)
                .order_by(HelpRequest.id),
            ),
            "care_calls": _rows(
                session,
                sa.select(CareCall.asset_id, CareCall.called_at, CareCall.state)
                .where(CareCall.person_id == who.person_id)
                .order_by(CareCall.id),
            ),
            "corrections": _rows(
                session,
                sa.select(
                    Correction.id,
                    Correction.what,
                    Correction.asset_id,
                    Correction.lat,
                    Correction.lon,
                    Correction.attributes,
                    Correction.note,
                    Correction.state,
                    Correction.reason,
                    Correction.proposed_at,
                    Correction.decided_at,
                )
                .where(Correction.person_id == who.person_id)
                .order_by(Correction.id),
            ),
            "confirmations": _rows(
                session,
                sa.select(CorrectionConfirmation.correction_id, CorrectionConfirmation.at)
                .where(CorrectionConfirmation.person_id == who.person_id)
                .order_by(CorrectionConfirmation.at),
            ),
            "campaign_letters": _rows(
                session,
                sa.select(
                    CampaignRound.sent_at,
                    CampaignAsk.asset_id,
                    CampaignAsk.answer,
                    CampaignAsk.answered_at,
                )
                .join(CampaignLetter, CampaignLetter.id == CampaignAsk.letter_id)
                .join(CampaignRound, CampaignRound.id == CampaignLetter.round_id)
                .where(CampaignLetter.person_id == who.person_id)
                .order_by(CampaignRound.sent_at, CampaignAsk.id),
            ),
            "campaigns_refused": _rows(
                session,
                sa.select(CampaignRefusal.jurisdiction_id, CampaignRefusal.at)
                .where(CampaignRefusal.person_id == who.person_id)
                .order_by(CampaignRefusal.at),
            ),
            "waiting_lists": _rows(
                session,
                sa.select(
                    AdoptionWait.asset_id,
                    AdoptionWait.state,
                    AdoptionWait.since,
                    AdoptionWait.offered_until,
                )
                .where(AdoptionWait.person_id == who.person_id)
                .order_by(AdoptionWait.id),
            ),
            "handovers": _rows(
                session,
                sa.select(Handover.adoption_id, Handover.state, Handover.offered_at, Handover.until)
                .where(_handed(who))
                .order_by(Handover.id),
            ),
        },
        [
            HeldFile(f"photos/asset-{row.id}.jpg", cleaned_key(row.storage_name, Size.FULL.value))
            for row in session.execute(
                sa.select(AssetPhoto.id, AssetPhoto.storage_name).where(
                    AssetPhoto.person_id == who.person_id,
                    AssetPhoto.state == PhotoState.READY.value,
                    AssetPhoto.storage_name.is_not(None),
                )
            )
        ],
    )


def erase(session: Session, who: Who, now: datetime) -> Erased:
    """Let go what somebody looks after, the next in line is asked; forget words, waits, offers."""
    released = 0
    if who.person_id is not None:
        released = _let_go(session, who.person_id, now)
        session.execute(
            sa.update(Adoption)
            .where(Adoption.person_id == who.person_id)
            .values(name=None, name_wanted=None, name_reason=None, end_note=None)
            .execution_options(synchronize_session=False)
        )
    counts = {
        "adoptions": released,
        "waiting lists": _leave(session, who, now),
        "handovers": _delete(session, Handover, _handed(who)),
        "words of corrections": _forget_words(session, who, Correction),
        "words of care": _forget_words(session, who, Care),
        "words about reports": _forget_answers(session, who),
        "calls for care": _uncall(session, who),
        "letters of campaigns": _unwritten(session, who),
        "photos of assets": photos.forget(session, AssetPhoto.person_id == who.person_id)
        if who.person_id is not None
        else 0,
    }
    kept = ("the history of adoptions and care keeps ids and times, without a name or a word",)
    return Erased(counts, kept if who.person_id is not None else ())


def _unwritten(session: Session, who: Who) -> int:
    """To whom campaigns wrote, what they answered, whether they wanted more; rounds keep counts."""
    if who.person_id is None:
        return 0
    _delete(session, CampaignRefusal, CampaignRefusal.person_id == who.person_id)
    return _delete(session, CampaignLetter, CampaignLetter.person_id == who.person_id)


def _uncall(session: Session, who: Who) -> int:
    """Whoever called for care did so as nobody."""
    if who.person_id is None:
        return 0
    result = session.execute(
        sa.update(CareCall)
        .where(CareCall.person_id == who.person_id)
        .values(person_id=None)
        .execution_options(synchronize_session=False)
    )
    count: int = result.rowcount  # type: ignore[attr-defined]
    return count


def _forget_words(session: Session, who: Who, model: Any) -> int:
    """What was done, and what is said of the register, stays; the person's words go."""
    if who.person_id is None:
        return 0
    result = session.execute(
        sa.update(model)
        .where(model.person_id == who.person_id, model.note.is_not(None))
        .values(note=None)
        .execution_options(synchronize_session=False)
    )
    count: int = result.rowcount  # type: ignore[attr-defined]
    return count


def _forget_answers(session: Session, who: Who) -> int:
    """What somebody answered about reports stays, as a code; what they said to the team goes."""
    if who.person_id is None:
        return 0
    said = sa.select(HelpRequest.note_id).where(
        HelpRequest.person_id == who.person_id, HelpRequest.note_id.is_not(None)
    )
    count = _delete(session, Note, Note.id.in_(said))
    session.execute(
        sa.update(HelpRequest)
        .where(HelpRequest.person_id == who.person_id)
        .values(note_id=None)
        .execution_options(synchronize_session=False)
    )
    return count


def handover_ids(session: Session, who: Who) -> list[UUID]:
    """Hand-overs that are offered to this person's address."""
    if who.email is None:
        return []
    return list(session.scalars(sa.select(Handover.id).where(Handover.email == who.email)))


def _let_go(session: Session, person_id: UUID, now: datetime) -> int:
    ids = session.scalars(
        sa.select(Adoption.asset_id)
        .where(Adoption.person_id == person_id, Adoption.ended_at.is_(None))
        .order_by(Adoption.asset_id)
    ).all()
    count = 0
    for asset_id in ids:
        asset = holding.lock(session, asset_id)
        for adoption in holding.adoptions_of(session, asset_id):
            if adoption.person_id == person_id:
                holding.end(session, adoption, asset, EndReason.ERASED, actor_id=None, now=now)
                count += 1
    return count


def _leave(session: Session, who: Who, now: datetime) -> int:
    if who.person_id is None:
        return 0
    waits = session.execute(
        sa.select(AdoptionWait.asset_id).where(
            AdoptionWait.person_id == who.person_id,
            AdoptionWait.state.in_([state.value for state in WAITS]),
        )
    ).all()
    count = _delete(session, AdoptionWait, AdoptionWait.person_id == who.person_id)
    # A place that was kept for them is the next one's.
    for row in sorted(waits):
        holding.advance(session, holding.lock(session, row.asset_id), now=now)
    return count


def _handed(who: Who) -> sa.ColumnElement[bool]:
    theirs: list[sa.ColumnElement[bool]] = [sa.false()]
    if who.email is not None:
        theirs.append(Handover.email == who.email)
    if who.person_id is not None:
        own = sa.select(Adoption.id).where(Adoption.person_id == who.person_id)
        theirs.append(
            sa.and_(Handover.adoption_id.in_(own), Handover.state == HandoverState.OFFERED.value)
        )
    return sa.or_(*theirs)


def _delete(session: Session, model: Any, which: sa.ColumnElement[bool]) -> int:
    result = session.execute(
        sa.delete(model).where(which).execution_options(synchronize_session=False)
    )
    count: int = result.rowcount  # type: ignore[attr-defined]
    return count


def _rows(session: Session, query: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(query).mappings()]
