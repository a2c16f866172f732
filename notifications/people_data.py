"""What the notifications hold on one person: what was sent to them, and browsers that are told.

A delivery holds no address, only whose it is; the copies in the mail folder do (development, and
installations without a provider), and are found by what stands in them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Invitation, SignInChallenge
from accounts.people_data import Erased, Held, Who
from assets import people_data as in_assets
from notifications.models import Delivery, PushSubscription
from notifications.vocabulary import RecipientKind
from reports import people_data as in_reports
from reports.models import Follower

#: Who sends mail with a provider has no copies; in the folder they lie so long.
FOLDER_KEPT = timedelta(days=30)

#: A delivery says that somebody was told, and the provider's id leads to whom.
DELIVERIES_KEPT = timedelta(days=90)


def names(_session: Session, _who: Who) -> frozenset[str]:
    """None: messages are made when they are sent."""
    return frozenset()


def held(session: Session, who: Who) -> Held:
    """What was sent, when and how; the browsers that are told."""
    return Held(
        {
            "messages": _rows(
                session,
                sa.select(
                    Delivery.event,
                    Delivery.channel,
                    Delivery.locale,
                    Delivery.state,
                    Delivery.created_at,
                    Delivery.sent_at,
                )
                .where(_to(_recipients(session, who)))
                .order_by(Delivery.created_at, Delivery.id),
            ),
            "browsers": _rows(
                session,
                sa.select(
                    PushSubscription.endpoint,
                    PushSubscription.created_at,
                    PushSubscription.gone_at,
                )
                .where(_browsers(session, who))
                .order_by(PushSubscription.created_at),
            ),
        }
    )


def erase(session: Session, who: Who, now: datetime) -> Erased:  # noqa: ARG001 (Contribution)
    """Forget what was sent, what waits to be sent, and browsers. Before the features below."""
    recipients = _recipients(session, who)
    return Erased(
        {
            "messages": _delete(session, Delivery, _to(recipients)),
            "browsers": _delete(session, PushSubscription, _browsers(session, who)),
        }
    )


def forget_reports(session: Session, report_ids: Sequence[UUID]) -> None:
    """Forget browsers and messages of the followers of reports whose people are forgotten."""
    if not report_ids:
        return
    rows = sa.select(Follower.id).where(Follower.report_id.in_(list(report_ids)))
    _delete(session, PushSubscription, PushSubscription.follower_id.in_(rows))
    _delete(
        session,
        Delivery,
        sa.and_(
            Delivery.report_id.in_(list(report_ids)),
            Delivery.recipient_kind.in_(
                [RecipientKind.FOLLOWER.value, RecipientKind.BROWSER.value]
            ),
        ),
    )


def delivery_ids(session: Session, who: Who) -> list[UUID]:
    """Every message that is or was for this person: the names of their copies in the folder."""
    return list(session.scalars(sa.select(Delivery.id).where(_to(_recipients(session, who)))))


def delete_copies(folder: Path, who: Who, ids: Collection[UUID]) -> int:
    """Delete copies of messages that are theirs or name them; how many. In no transaction."""
    named = [text.lower().encode() for text in (who.email, who.phone, *who.names) if text]
    wanted = {f"{id_}.txt" for id_ in ids}
    count = 0
    for path in _copies(folder):
        if path.name in wanted or _says(path, named):
            path.unlink(missing_ok=True)
            count += 1
    return count


def delete_old_copies(folder: Path, *, now: datetime) -> int:
    """Delete copies of messages that are older than `FOLDER_KEPT`; how many."""
    before = (now - FOLDER_KEPT).timestamp()
    count = 0
    for path in _copies(folder):
        try:
            if path.stat().st_mtime < before:
                path.unlink()
                count += 1
        except FileNotFoundError:
            continue
    return count


def _copies(folder: Path) -> Iterator[Path]:
    """Files of the folder, and what a killed carrier left on its desk beside it."""
    for place in (folder, folder.with_name(f".{folder.name}-unfinished")):
        if place.is_dir():
            yield from (path for path in place.iterdir() if path.is_file())


def _says(path: Path, named: Sequence[bytes]) -> bool:
    try:
        content = path.read_bytes().lower()
    except FileNotFoundError:
        return False
    # Lower case of bytes leaves letters with accents alone; those are compared as text.
    text = content.decode("utf-8", "replace").lower().encode()
    return any(each in content or each in text for each in named)


def _recipients(session: Session, who: Who) -> dict[RecipientKind, list[str]]:
    followers = in_reports.follower_ids(session, who)
    return {
        RecipientKind.FOLLOWER: [str(id_) for id_ in followers],
        RecipientKind.PERSON: [str(who.person_id)] if who.person_id else [],
        RecipientKind.BROWSER: [
            str(id_)
            for id_ in session.scalars(
                sa.select(PushSubscription.id).where(_browsers(session, who))
            )
        ],
        RecipientKind.CHALLENGE: [
            str(id_)
            for id_ in session.scalars(
                sa.select(SignInChallenge.id).where(
                    _any(
                        (SignInChallenge.person_id, who.person_id),
                        (SignInChallenge.email, who.email),
                        (SignInChallenge.phone, who.phone),
                    )
                )
            )
        ],
        RecipientKind.HANDOVER: [str(id_) for id_ in in_assets.handover_ids(session, who)],
        RecipientKind.INVITATION: [
            str(id_)
            for id_ in session.scalars(
                sa.select(Invitation.id).where(Invitation.email == who.email)
            )
        ],
    }


def _to(recipients: dict[RecipientKind, list[str]]) -> sa.ColumnElement[bool]:
    return sa.or_(
        sa.false(),
        *(
            sa.and_(Delivery.recipient_kind == kind.value, Delivery.recipient_id.in_(ids))
            for kind, ids in recipients.items()
            if ids
        ),
    )


def _browsers(session: Session, who: Who) -> sa.ColumnElement[bool]:
    followers = in_reports.follower_ids(session, who)
    return sa.or_(
        PushSubscription.follower_id.in_(followers),
        PushSubscription.person_id == who.person_id if who.person_id else sa.false(),
    )


def _any(*pairs: tuple[Any, Any]) -> sa.ColumnElement[bool]:
    known = [column == value for column, value in pairs if value is not None]
    return sa.or_(*known) if known else sa.false()


def _delete(session: Session, model: Any, which: sa.ColumnElement[bool]) -> int:
    result = session.execute(
        sa.delete(model).where(which).execution_options(synchronize_session=False)
    )
    count: int = result.rowcount  # type: ignore[attr-defined]
    return count


def _rows(session: Session, query: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(query).mappings()]
