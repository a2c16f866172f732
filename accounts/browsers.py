"""What kind of browser and system somebody uses, in two words. Pure.

A list of sessions has to let a person recognise "Firefox, Linux"; the header itself, which can
tell people apart, is kept nowhere.
"""

from __future__ import annotations

#: First match wins: most browsers also claim to be those below them.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("okhttp", "App"),
    ("Dart/", "App"),
    ("CFNetwork", "App"),
    ("curl/", "Program"),
    ("python", "Program"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Darwin", "macOS"),
    ("Linux", "Linux"),
)

#: A header longer than this is not a browser's; what follows is not looked at.
_LOOKED_AT = 500


def kind_of(user_agent: str | None) -> str | None:
    """Browser and system ("Firefox, Linux"), as far as they are known; None for neither."""
    sent = (user_agent or "")[:_LOOKED_AT]
    known = [
        next((name for sign, name in table if sign in sent), None)
        for table in (_BROWSERS, _SYSTEMS)
    ]
    return ", ".join(name for name in known if name is not None) or None
