"""Sealing the audit log in a hash chain, and checking the chain.

1. Whoever reads or changes something appends an entry (`accounts.audit.record`) and waits for
   nobody. The entry has no seal yet.
2. Every minute the beat calls `seal_next`: whatever is there without a seal, oldest id first, gets
   the next one. Only committed entries can be seen, and each is sealed exactly once, so no order
   between transactions is needed: an entry that commits late is in a later seal. (Transaction ids
   would be such an order, but they begin anew in another cluster after a dump is restored.)
3. A seal is `HMAC-SHA-256(key, seal before ‖ number ‖ time ‖ entries ‖ each entry)`. The key is
   derived from `SECRET_KEY`, which is not in the database: who can write there cannot make seals.
4. `verify` computes every seal again. The last hash is the head: an operator who notes it
   elsewhere (it is logged, too) can tell later that nothing before it was cut off.

What this cannot tell: an entry that was deleted or forged before its first minute was over, and
whatever is done by somebody who has both the database and the key.

When `SECRET_KEY` changes, new seals are made with the new one and go on from the last hash.
`key_mark` says which key a seal was made with; to check the older ones `verify` takes former keys.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import AuditEntry, AuditSeal
from core.tokens import key_for

#: What the key of the chain is derived for; it opens no link.
_PURPOSE = "audit.seal"

#: Entries of one seal: a broken one is narrowed down to so many.
ENTRIES_OF_A_SEAL = 2000

#: Rows that are in memory at a time while the chain is checked.
_AT_A_TIME = 1000

#: "audit" in ASCII: the advisory lock of the one who seals.
_LOCK = 0x6175646974

#: What stands for the seal before the first one.
_BEGINNING = b"\0" * 32

_IDS = sa.ARRAY(sa.BigInteger())

_FIELDS = (
    AuditEntry.id,
    AuditEntry.at,
    AuditEntry.actor_kind,
    AuditEntry.actor_id,
    AuditEntry.api_key_id,
    AuditEntry.action,
    AuditEntry.subject_kind,
    AuditEntry.subject_id,
    AuditEntry.jurisdiction_id,
    AuditEntry.data,
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A seal that was just made.

    Attributes:
        head: its hash, in hex.
    """

    number: int
    entries: int
    head: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of checking the chain.

    Attributes:
        head: the last hash in hex; None while there is no seal.
        sealed, unsealed: counts of entries.
        fault: a sentence on the first thing that is wrong; None when nothing is.
    """

    seals: int
    sealed: int
    unsealed: int
    head: str | None
    fault: str | None

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault is None


class _BrokenError(Exception):
    """The first thing that is wrong with the chain, in a sentence."""


def seal_next(session: Session, *, secret: str, now: datetime) -> Sealed | None:
    """Seal what waits, up to `ENTRIES_OF_A_SEAL`, in the caller's transaction.

    None when nothing waits, or somebody else is sealing.
    """
    if not session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK))):
        return None
    waiting = session.execute(
        sa.select(*_FIELDS)
        .where(AuditEntry.seal_id.is_(None))
        .order_by(AuditEntry.id)
        .limit(ENTRIES_OF_A_SEAL)
    ).all()
    if not waiting:
        return None
    before = session.execute(
        sa.select(AuditSeal.id, AuditSeal.hash).order_by(AuditSeal.id.desc()).limit(1)
    ).one_or_none()
    number = before.id + 1 if before else 1
    key = _key(secret)
    computed = _seal(key, bytes(before.hash) if before else _BEGINNING, number, now)
    for entry in waiting:
        computed.update(_canonical(entry))
    session.execute(
        sa.insert(AuditSeal).values(
            id=number,
            entries=len(waiting),
            hash=computed.digest(),
            sealed_at=now,
            key_mark=_mark(key),
        )
    )
    session.execute(
        sa.update(AuditEntry)
        .where(AuditEntry.id == sa.any_(sa.literal([entry.id for entry in waiting], _IDS)))
        .values(seal_id=number)
        .execution_options(synchronize_session=False)
    )
    return Sealed(number, len(waiting), computed.hexdigest())


def count_seals(session: Session) -> int:
    """How many seals there are to check."""
    return session.scalar(sa.select(sa.func.count()).select_from(AuditSeal)) or 0


def verify(
    session: Session,
    *,
    secret: str,
    former: Sequence[str] = (),
    heads: Iterable[str] = (),
    checked: Callable[[int], object] = lambda _seals: None,
) -> Verdict:
    """Compute every seal again, in the memory that a thousand entries take.

    Reads in the caller's transaction, which should see one state (REPEATABLE READ).

    Args:
        former: earlier values of `SECRET_KEY`.
        heads: hashes in hex that were noted earlier; each must be in the chain.
        checked: called with 1 after each seal.
    """
    keys = {_mark(key): key for key in (_key(text) for text in (secret, *former))}
    missing = {head.strip().lower() for head in heads}
    seals = sealed = 0
    head: str | None = None
    fault: str | None = None
    try:
        with closing(_links(session)) as links:
            for seal, entries in links:
                sealed += _check(seal, entries, seals + 1, head, keys)
                seals += 1
                head = bytes(seal.hash).hex()
                missing.discard(head)
                checked(1)
        if missing:
            raise _BrokenError(
                f"The chain does not contain the head {min(missing)} that was noted earlier: "
                "seals were cut off or made anew."
            )
    except _BrokenError as broken:
        fault = str(broken)
    unsealed = session.scalar(
        sa.select(sa.func.count()).select_from(AuditEntry).where(AuditEntry.seal_id.is_(None))
    )
    return Verdict(seals, sealed, unsealed or 0, head, fault)


def _links(session: Session) -> Generator[tuple[Any, Iterator[Any]], None, None]:
    """Every seal with its entries, both streamed from the server in the order of the chain."""
    streaming: Mapping[str, Any] = {"stream_results": True, "yield_per": _AT_A_TIME}
    seals = session.execute(
        sa.select(
            AuditSeal.id,
            AuditSeal.entries,
            AuditSeal.hash,
            AuditSeal.sealed_at,
            AuditSeal.key_mark,
        ).order_by(AuditSeal.id),
        execution_options=streaming,
    )
    rows = session.execute(
        sa.select(AuditEntry.seal_id, *_FIELDS)
        .where(AuditEntry.seal_id.is_not(None))
        .order_by(AuditEntry.seal_id, AuditEntry.id),
        execution_options=streaming,
    )
    with seals, rows:
        groups = itertools.groupby(rows, key=lambda row: row.seal_id)
        group = next(groups, None)
        for seal in seals:
            if group is not None and group[0] < seal.id:
                break
            if group is not None and group[0] == seal.id:
                yield seal, group[1]
                group = next(groups, None)
            else:
                yield seal, iter(())
        if group is not None:
            raise _BrokenError(f"Seal {group[0]} is missing, and its entries are there.")


def _check(
    seal: Any, entries: Iterator[Any], number: int, before: str | None, keys: Mapping[bytes, bytes]
) -> int:
    """Compute one seal again; how many entries it has.

    Raises:
        _BrokenError: it is not the one that stands there.
    """
    if seal.id != number:
        raise _BrokenError(f"Seal {number} is missing; the next one is {seal.id}.")
    key = keys.get(bytes(seal.key_mark))
    if key is None:
        raise _BrokenError(
            f"Seal {seal.id} was made with another SECRET_KEY; "
            "name a file that holds it with --former-key."
        )
    previous = bytes.fromhex(before) if before else _BEGINNING
    computed = _seal(key, previous, seal.id, seal.sealed_at)
    count = 0
    first = last = None
    for entry in entries:
        computed.update(_canonical(entry))
        count += 1
        first, last = first or entry.id, entry.id
    where = f"Seal {seal.id} of {seal.sealed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC is broken"
    which = f" (entries {first} to {last})" if first else ""
    if count != seal.entries:
        raise _BrokenError(f"{where}: it was made over {seal.entries} entries, {count} are{which}.")
    if not hmac.compare_digest(computed.digest(), bytes(seal.hash)):
        raise _BrokenError(f"{where}: an entry, or the seal itself, was edited{which}.")
    return count


def _key(secret: str) -> bytes:
    return key_for(secret, _PURPOSE, "chain", 1)


def _mark(key: bytes) -> bytes:
    """Which key it is, told without telling the key."""
    return hmac.digest(key, b"which key this is", hashlib.sha256)[:8]


def _seal(key: bytes, before: bytes, number: int, at: datetime) -> hmac.HMAC:
    """A seal that waits for its entries."""
    computed = hmac.new(key, before, hashlib.sha256)
    computed.update(_framed([number, _instant(at)]))
    return computed


def _canonical(row: Any) -> bytes:
    """The bytes of an entry, the same whenever and wherever it is read."""
    return _framed(
        [
            row.id,
            _instant(row.at),
            row.actor_kind,
            row.actor_id and str(row.actor_id),
            row.api_key_id and str(row.api_key_id),
            row.action,
            row.subject_kind,
            row.subject_id,
            row.jurisdiction_id,
            row.data,
        ]
    )


def _framed(fields: list[Any]) -> bytes:
    """JSON in one form, length before text: no two rows can run together to the same bytes."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    return len(text).to_bytes(4, "big") + text


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
