"""The words of the register: states of an asset, where a version came from. Pure."""

from __future__ import annotations

import enum


class AssetState(enum.StrEnum):
    """Whether the asset is there and works."""

    IN_SERVICE = "in_service"
    OUT_OF_ORDER = "out_of_order"
    REMOVED = "removed"
    MOVED = "moved"  # taken elsewhere, nobody knows yet where to

    @property
    def is_there(self) -> bool:
        """Whether somebody who goes to its position finds it."""
        return self in STATES_THERE


#: States of what can be seen, reported, adopted and cared for.
STATES_THERE = (AssetState.IN_SERVICE, AssetState.OUT_OF_ORDER)

#: The same for SQL.
THERE_SQL = ", ".join(f"'{state}'" for state in STATES_THERE)


class Origin(enum.StrEnum):
    """Who said that an asset is as a version of it says."""

    IMPORT = "import"
    CORRECTION = "correction"
    STAFF = "staff"


class Part(enum.StrEnum):
    """What of an asset a version changed."""

    CREATED = "created"
    PLACE = "place"
    STATE = "state"
    ATTRIBUTES = "attributes"
    CODE = "code"
    OWNER = "owner"


class RunKind(enum.StrEnum):
    """How an import was begun."""

    CITY_FOLDER = "city_folder"
    COMMAND = "command"
