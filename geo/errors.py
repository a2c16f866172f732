"""What can be wrong with a place that somebody names."""

from __future__ import annotations

from core.errors import InvalidError, UnavailableError


class UnknownJurisdictionError(InvalidError):
    """No jurisdiction of this installation has that code."""

    code = "unknown_jurisdiction"
    title = "There is no jurisdiction of that name here"


class JurisdictionNeededError(InvalidError):
    """Several jurisdictions live here, and neither a code nor a position says which is meant."""

    code = "jurisdiction_needed"
    title = "Say which jurisdiction is meant, or give a position"


class OutsideJurisdictionError(InvalidError):
    """The position lies in no jurisdiction, or not in the one that was named."""

    code = "outside_jurisdiction"
    title = "This place lies outside the area that is served here"


class NoJurisdictionError(UnavailableError):
    """No city folder has been loaded yet."""

    code = "no_jurisdiction"
    title = "No city has been set up here yet"
