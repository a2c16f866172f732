"""The block list: who may not file reports, in one city or everywhere, until when and why.

Each process keeps the blocks in force in memory and reads them again at most every few seconds, so
that intake, which asks for every report, keeps its single statement. A block is lifted, never
deleted: who was kept out, by whom and why can be answered for later.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit
from accounts.actors import Actor
from accounts.audit import Action, Subject
from accounts.blocks.rules import (
    BlockList,
    BlockRow,
    Network,
    NetworkError,
    Sender,
    contact_digest,
    network_of,
)
from accounts.contact_rules import PhoneError, normal_phone
from accounts.models import Block, Person
from accounts.rules import BlockKind, Permission, is_email, normal_email
from core.db import Executor
from core.errors import ForbiddenError, InvalidError, NotFoundError
from core.ids import new_id
from core.pagination import BadCursorError, Page, pack, unpack
from geo.jurisdictions import JurisdictionRef

#: A new block is felt by every process after at most this long.
RELOAD_EVERY_S = 3.0


class BlockedError(ForbiddenError):
    """The sender is on the list; by what is not said."""

    code = "blocked"
    title = "Reports from you are not taken at present"


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A block about to be made: what, where, why, until when (None: until it is lifted)."""

    kind: BlockKind
    subject: str
    reason: str
    place: JurisdictionRef | None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A block as the list shows it. Contacts cannot be shown: they are kept as digests."""

    id: UUID
    kind: BlockKind
    jurisdiction_id: int | None
    network: str | None
    person_id: UUID | None
    reason: str
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime | None
    lifted_at: datetime | None


class Blocks:
    """The blocks in force as one process knows them; the functions below use the process's own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[float, BlockList] | None = None

    def forget(self) -> None:
        """Read them again at the next call."""
        with self._lock:
            self._known = None

    def current(self, session: Executor, now: datetime) -> BlockList:
        """The blocks in force, at most `RELOAD_EVERY_S` ago."""
        known = self._known
        if known is not None and self._clock() - known[0] < RELOAD_EVERY_S:
            return known[1]
        # While one thread reads, the others go on with what they have, if they have anything.
        if not self._lock.acquire(blocking=known is None):
            assert known is not None
            return known[1]
        try:
            known = self._known
            started = self._clock()
            if known is None or started - known[0] >= RELOAD_EVERY_S:
                self._known = known = (started, _read(session, now))
            return known[1]
        finally:
            self._lock.release()


_OF_THIS_PROCESS = Blocks()

forget = _OF_THIS_PROCESS.forget


def refuse(
    session: Executor, place: JurisdictionRef, sender: Sender, *, secret: str, now: datetime
) -> None:
    """Let nobody pass who is blocked there.

    Raises:
        BlockedError: says whom to ask.
    """
    if not _OF_THIS_PROCESS.current(session, now).holds(sender, place.id, secret=secret):
        return
    contact = place.contact
    ways = [str(contact[key]) for key in ("email", "phone", "url") if contact.get(key)]
    name = place.name(place.default_locale)
    raise BlockedError(
        f"If you think that this is a mistake, ask {name}"
        + (f": {', '.join(ways)}." if ways else "."),
        contact=dict(contact),
        texts={
            "fr": f"Vos signalements ne sont pas acceptés pour le moment. Une erreur ? {name} vous"
            " répondra" + (f" : {', '.join(ways)}." if ways else "."),
            "en": f"Reports from you are not taken at present. A mistake? Ask {name}"
            + (f": {', '.join(ways)}." if ways else "."),
        },
    )


def add(session: Session, new: NewBlock, *, by: Actor | str, secret: str, now: datetime) -> Listed:
    """Block somebody, in the caller's transaction; what is blocked already gets another block.

    Raises:
        ForbiddenError: the actor does not manage that city; everywhere is for the operator.
        InvalidError: what is named cannot be blocked.
    """
    place_id = new.place.id if new.place is not None else None
    if isinstance(by, Actor):
        _check_manager(by, place_id)
    if new.expires_at is not None and new.expires_at <= now:
        raise InvalidError("This instant is past.", field="expires_at")
    block = Block(
        id=new_id(),
        jurisdiction_id=place_id,
        kind=new.kind.value,
        reason=new.reason,
        created_by=by.person_id if isinstance(by, Actor) else None,
        created_at=now,
        expires_at=new.expires_at,
        **_subject(session, new, secret),
    )
    session.add(block)
    session.flush()
    audit.record(
        session,
        by,
        Action.BLOCK_CHANGED,
        Subject("block", block.id, place_id),
        now=now,
        data={"change": "added", "kind": new.kind.value},
    )
    forget()
    return _listed(block)


def lift(session: Session, block_id: UUID, *, by: Actor | str, now: datetime) -> Listed:
    """End a block, in the caller's transaction; a second time changes nothing.

    Raises:
        NotFoundError: there is none that the actor may see.
        ForbiddenError: it holds everywhere, which is the operator's.
    """
    block = session.get(Block, block_id, with_for_update=True)
    if block is None:
        raise NotFoundError
    if isinstance(by, Actor):
        managed = by.scope(Permission.MANAGE_CITY).jurisdiction_ids
        if block.jurisdiction_id is not None and block.jurisdiction_id not in managed:
            raise NotFoundError
        _check_manager(by, block.jurisdiction_id)
    if block.lifted_at is None:
        block.lifted_at = now
        session.flush()
        audit.record(
            session,
            by,
            Action.BLOCK_CHANGED,
            Subject("block", block.id, block.jurisdiction_id),
            now=now,
            data={"change": "lifted", "kind": block.kind},
        )
        forget()
    return _listed(block)


def page(
    session: Session,
    jurisdiction_ids: Collection[int] | None,
    *,
    now: datetime,
    with_past: bool = False,
    cursor: str | None = None,
    limit: int,
) -> Page[Listed]:
    """Blocks of these cities (None: of all) and those that hold everywhere, newest first.

    Args:
        with_past: also those that were lifted or have expired.
    """
    query = sa.select(Block).order_by(Block.id.desc()).limit(limit + 1)
    if jurisdiction_ids is not None:
        query = query.where(
            sa.or_(
                Block.jurisdiction_id.in_(sorted(jurisdiction_ids)),
                Block.jurisdiction_id.is_(None),
            )
        )
    if not with_past:
        query = query.where(_in_force(now))
    if cursor is not None:
        query = query.where(Block.id < _last_id(cursor))
    rows = session.scalars(query).all()
    following = pack(str(rows[limit - 1].id)) if len(rows) > limit else None
    return Page([_listed(row) for row in rows[:limit]], following)


def _last_id(cursor: str) -> UUID:
    [last] = unpack(cursor, 1)
    try:
        return UUID(last)
    except (ValueError, AttributeError, TypeError) as error:
        raise BadCursorError(field="cursor") from error


def _check_manager(actor: Actor, place_id: int | None) -> None:
    managed = actor.scope(Permission.MANAGE_CITY).jurisdiction_ids
    if place_id is None:
        raise ForbiddenError("What holds everywhere is the operator's: `flask blocks`.")
    if place_id not in managed:
        raise ForbiddenError


def _subject(session: Session, new: NewBlock, secret: str) -> Mapping[str, Any]:
    """The one column that says who."""
    match new.kind:
        case BlockKind.NETWORK:
            try:
                return {"network": str(network_of(new.subject))}
            except NetworkError as error:
                raise InvalidError(str(error), field="network") from error
        case BlockKind.EMAIL:
            email = normal_email(new.subject)
            if not is_email(email):
                raise InvalidError("This is not an e-mail address.", field="email")
            return {"digest": contact_digest(secret, new.kind, email)}
        case BlockKind.PHONE:
            try:
                phone = normal_phone(new.subject, new.place.country if new.place else None)
            except PhoneError as error:
                raise InvalidError(str(error), field="phone") from error
            return {"digest": contact_digest(secret, new.kind, phone)}
        case BlockKind.PERSON:
            try:
                person_id = UUID(new.subject)
            except ValueError as error:
                raise InvalidError("This is not the id of a person.", field="person_id") from error
            if session.get(Person, person_id) is None:
                raise InvalidError("There is no such person.", field="person_id")
            return {"person_id": person_id}


def _in_force(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        Block.lifted_at.is_(None), sa.or_(Block.expires_at.is_(None), Block.expires_at > now)
    )


def _read(session: Executor, now: datetime) -> BlockList:
    rows = session.execute(
        sa.select(
            Block.id,
            Block.kind,
            Block.jurisdiction_id,
            Block.network,
            Block.digest,
            Block.person_id,
        ).where(_in_force(now))
    )
    return BlockList.of(
        BlockRow(
            row.id,
            BlockKind(row.kind),
            row.jurisdiction_id,
            _network(row.network),
            row.digest and bytes(row.digest),
            row.person_id,
        )
        for row in rows
    )


def _network(stored: Any) -> Network | None:
    return None if stored is None else ipaddress.ip_network(str(stored))


def _listed(block: Block) -> Listed:
    return Listed(
        id=block.id,
        kind=BlockKind(block.kind),
        jurisdiction_id=block.jurisdiction_id,
        network=None if block.network is None else str(block.network),
        person_id=block.person_id,
        reason=block.reason,
        created_by=block.created_by,
        created_at=block.created_at,
        expires_at=block.expires_at,
        lifted_at=block.lifted_at,
    )
