"""What Open311 holds on one person: which reports of theirs other systems were handed, and traces.

To other systems goes no name, address or number of anybody, but what they answer may quote what a
citizen wrote. Their words are kept without the people of the report; what still names somebody is
masked when that person is erased, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.people_data import Erased, Held, Who
from open311.downstream_models import DownstreamEndpoint, Forwarding
from open311.models import FiledContent, LinkedPhoto
from reports import changing
from reports import people_data as reports_data
from reports.masking import Identifiers, mask
from reports.models import ServiceRequest


def names(_session: Session, _who: Who) -> frozenset[str]:
    """None of its own: names stand in the reports."""
    return frozenset()


def held(session: Session, who: Who) -> Held:
    """The reports of this person that were handed to other systems, and photos still to fetch."""
    own = reports_data.report_ids(session, who)
    handed = session.execute(
        sa.select(
            ServiceRequest.number,
            DownstreamEndpoint.code.label("to"),
            DownstreamEndpoint.url,
            Forwarding.state,
            Forwarding.sent_at,
            Forwarding.remote_id,
            Forwarding.last_words,
        )
        .join(ServiceRequest, ServiceRequest.id == Forwarding.report_id)
        .join(DownstreamEndpoint, DownstreamEndpoint.id == Forwarding.endpoint_id)
        .where(Forwarding.report_id.in_(own))
        .order_by(Forwarding.created_at, Forwarding.id)
    ).mappings()
    linked = session.execute(
        sa.select(ServiceRequest.number, LinkedPhoto.url, LinkedPhoto.created_at)
        .join(ServiceRequest, ServiceRequest.id == LinkedPhoto.report_id)
        .where(LinkedPhoto.report_id.in_(own))
        .order_by(LinkedPhoto.id)
    ).mappings()
    return Held(
        {
            "forwarded": [dict(row) for row in handed],
            "photos_to_fetch": [dict(row) for row in linked],
        }
    )


def erase(session: Session, who: Who, now: datetime) -> Erased:  # noqa: ARG001
    """Take this person out of what other systems said; the forwardings stay, with their ids."""
    own = reports_data.report_ids(session, who)
    # First, as everybody does who takes in what another system says.
    changing.lock_all(session, own)
    counts = {
        "addresses of photos": _forget_links(session, own),
        "words of other systems": _mask_words(session, own, who),
    }
    _forget_filed(session, own)
    sent = session.scalar(
        sa.select(sa.func.count())
        .select_from(Forwarding)
        .where(Forwarding.report_id.in_(own), Forwarding.sent_at.is_not(None))
    )
    kept = []
    if sent:
        kept.append(f"{sent} reports were handed to other systems, which keep what they were told")
    return Erased(counts, kept)


def forget_reports(session: Session, report_ids: Collection[UUID]) -> None:
    """Forget what may name the people of reports that retention has just taken them out of."""
    if not report_ids:
        return
    ids = list(report_ids)
    _forget_links(session, ids)
    _forget_filed(session, ids)
    session.execute(
        sa.update(Forwarding)
        .where(Forwarding.report_id.in_(ids), Forwarding.last_words.is_not(None))
        .values(last_words=None)
        .execution_options(synchronize_session=False)
    )


def _forget_links(session: Session, ids: Collection[UUID]) -> int:
    gone = session.execute(
        sa.delete(LinkedPhoto)
        .where(LinkedPhoto.report_id.in_(list(ids)))
        .returning(LinkedPhoto.id)
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())


def _forget_filed(session: Session, ids: Collection[UUID]) -> None:
    session.execute(
        sa.delete(FiledContent)
        .where(FiledContent.report_id.in_(list(ids)))
        .execution_options(synchronize_session=False)
    )


def _mask_words(session: Session, own: Collection[UUID], who: Who) -> int:
    """Mask them in the words to their reports; elsewhere by address and number only."""
    words = reports_data.identifiers(session, who)
    mine = set(own)
    changed = 0
    for row in session.execute(
        sa.select(Forwarding.id, Forwarding.report_id, Forwarding.last_words).where(
            Forwarding.last_words.is_not(None),
            sa.or_(
                Forwarding.report_id.in_(mine),
                reports_data.may_name(Forwarding.last_words, words.exact),
            ),
        )
    ).all():
        known: Identifiers = words if row.report_id in mine else words.exact
        masked = mask(row.last_words, known)
        if masked != row.last_words:
            changed += 1
            session.execute(
                sa.update(Forwarding)
                .where(Forwarding.id == row.id)
                .values(last_words=masked)
                .execution_options(synchronize_session=False)
            )
    return changed
