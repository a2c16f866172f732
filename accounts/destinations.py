"""Where a sign-in may lead: to a page of this installation, and nowhere else. Pure.

`?next=` is written by whoever made the link. A path that a browser could take for another site's
address would let a stranger send people on from a page that they trust.
"""

from __future__ import annotations

from urllib.parse import urlsplit

#: Longer than any page's address, short enough for a cookie.
LONGEST = 1_000


def local_path(text: str | None) -> str | None:
    """The path, with its query, of a page of ours; None for anything else.

    Browsers read `\\` as `/`, leave tabs and line ends out, and take `//host` for another host.
    """
    if not text or len(text) > LONGEST or not text.startswith("/") or text.startswith("//"):
        return None
    if any(char == "\\" or ord(char) <= 0x20 or 0x7F <= ord(char) <= 0xA0 for char in text):
        return None
    try:
        parts = urlsplit(text)
        text.encode()
    except ValueError:
        return None
    return None if parts.scheme or parts.netloc else text
