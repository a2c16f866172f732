"""What can be wrong with a call about corrections, as the caller is told."""

from __future__ import annotations

from core.errors import ConflictError


class NothingToCorrectError(ConflictError):
    """The register says so already."""

    code = "nothing_to_correct"
    title = "The register says so already"


class KnownAlreadyError(ConflictError):
    """One of the kind stands there in the register; `id` is its."""

    code = "known_already"
    title = "The register knows it already"


class OwnCorrectionError(ConflictError):
    """Nobody confirms their own word."""

    code = "own_correction"
    title = "You proposed it yourself"


class DecidedAlreadyError(ConflictError):
    """It is over: `state` says how."""

    code = "decided_already"
    title = "This correction is decided"
