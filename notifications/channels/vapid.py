"""Our key for web push (RFC 8292): read from the setting, its public half given to browsers.

Apart from sending, so that a web process does not load what only sending needs; and where no key is
set, it loads no cryptography for it either.
"""

from __future__ import annotations

import base64
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py_vapid import Vapid02


def load(private_key: str) -> Vapid02:
    """The key of `VAPID_PRIVATE_KEY`: P-256, raw in base64url, or PEM.

    Raises:
        ValueError: it is neither, or of another curve.
    """
    from py_vapid import Vapid02

    if "BEGIN" in private_key:
        key = Vapid02.from_pem(private_key.encode())
    else:
        key = Vapid02.from_string(private_key)
    # RFC 8292, section 3.1; a signature of another curve is only refused by each push service.
    if key.public_key.curve.name != "secp256r1":
        raise ValueError("not a key of the curve P-256")
    return key


@functools.lru_cache(maxsize=4)
def public_key(private_key: str) -> str:
    """What a browser needs to subscribe: the uncompressed point, in base64url."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = load(private_key).public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()
