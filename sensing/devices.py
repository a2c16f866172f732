"""Keys of phones: drawn at random, stored as keyed digests, and nobody's.

1. A phone asks for a key without saying who it is, and changes it when it likes: the old one ends,
   and nothing that is stored says which key followed which.
2. What is kept of a trip is found again by digests of key *and* id, or key *and* day. Two rows of
   one phone have nothing in common for whoever does not hold its key.
3. A key ends by itself, so that a phone which forgets to change it is no pseudonym for years.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.errors import NotSignedInError
from core.limits import DEVICE_KEY_PREFIX
from core.tokens import key_for
from sensing.models import DeviceKey

#: A key is good for so long; phones are asked to change it every month or so.
KEY_LIFE = timedelta(days=90)

#: So long after a drive, or its arrival, its device does not count again in the same place.
DAY_KEPT = timedelta(days=1)

_FORM = re.compile(rf"{DEVICE_KEY_PREFIX}[A-Za-z0-9_-]{{43}}")


class UnknownDeviceError(NotSignedInError):
    """The key was never given out, has ended, or was changed for another."""

    code = "device_key_unknown"
    title = "This device key is unknown or has ended"


@dataclass(frozen=True, slots=True)
class Made:
    """A fresh key; it is known here and never again."""

    key: str
    expires_on: date


@dataclass(frozen=True, slots=True)
class Device:
    """A phone, for the length of one request."""

    key: str
    secret: str

    def digest(self) -> bytes:
        """What is stored of the key."""
        return key_for(self.secret, "device", self.key, "")

    def holder(self, trip_id: UUID) -> bytes:
        """What shows that a trip is this phone's."""
        return key_for(self.secret, "device.trip", self.key, str(trip_id))[:16]

    def seal(self, trip_id: UUID) -> bytes:
        """What the parts of a trip are sealed with: without the phone nobody opens them."""
        return key_for(self.secret, "device.part", self.key, str(trip_id))

    def day_id(self, day: date) -> bytes:
        """The name of this phone's drives of one day, of no other."""
        return key_for(self.secret, "device.day", self.key, day.isoformat())[:16]

    def day_key(self, day: date) -> bytes:
        """What the cells of that day are digested with."""
        return key_for(self.secret, "device.cells", self.key, day.isoformat())


def trip_id(secret: str, given: UUID) -> UUID:
    """Under which id a trip is stored: the phone's own may hold the time it was made."""
    return UUID(bytes=key_for(secret, "trip", str(given), "")[:16])


def make(session: Session, secret: str, *, now: datetime) -> Made:
    """A key for a phone that has none."""
    key = DEVICE_KEY_PREFIX + secrets.token_urlsafe(32)
    expires_on = (now + KEY_LIFE).date()
    session.add(DeviceKey(digest=Device(key, secret).digest(), expires_on=expires_on))
    session.flush()
    return Made(key, expires_on)


def known(session: Session, device: Device, *, now: datetime) -> None:
    """See that the key of the phone is good.

    Raises:
        UnknownDeviceError
    """
    if _FORM.fullmatch(device.key):
        expires_on = session.scalar(
            sa.select(DeviceKey.expires_on).where(DeviceKey.digest == device.digest())
        )
        if expires_on is not None and expires_on >= now.date():
            return
    raise UnknownDeviceError


def rotate(session: Session, device: Device, *, now: datetime) -> Made:
    """Another key in the place of this one, which ends.

    Raises:
        UnknownDeviceError
    """
    end(session, device, now=now)
    return make(session, device.secret, now=now)


def end(session: Session, device: Device, *, now: datetime) -> None:
    """Forget a key.

    Raises:
        UnknownDeviceError
    """
    known(session, device, now=now)
    gone = session.scalar(
        sa.delete(DeviceKey)
        .where(DeviceKey.digest == device.digest())
        .returning(DeviceKey.expires_on)
    )
    if gone is None:
        # The same phone, a moment ago: a key is changed for one other only.
        raise UnknownDeviceError


def forget_expired(session: Session, *, today: date) -> int:
    """Delete keys that have ended; how many."""
    ended = session.scalars(
        sa.delete(DeviceKey).where(DeviceKey.expires_on < today).returning(DeviceKey.expires_on)
    )
    return len(ended.all())
