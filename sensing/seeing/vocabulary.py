"""The words of coverage. Pure."""

from __future__ import annotations

import enum


class Knowledge(enum.StrEnum):
    """How much phones know of the roads of an area. It says nothing of how good they are."""

    UNKNOWN = "unknown"  # nobody drove there, or too few to say
    LITTLE = "little"
    PART = "part"
    MOST = "most"
