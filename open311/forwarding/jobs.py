"""One step of a forwarding, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from open311.client import Failure
from open311.downstream import Endpoint
from open311.rules import Sending


@dataclass(frozen=True, slots=True)
class Job:
    """One step of a claimed forwarding.

    Attributes:
        name: the same at every sending of it.
        token: ask what it has become; else `fields` are sent, or looked for when `lost` is set.
        taken: their ids of other reports.
    """

    id: UUID
    report_id: UUID
    endpoint: Endpoint
    claims: int
    failures: int
    attempt_id: int | None
    fields: tuple[tuple[str, str], ...] = ()
    lost: Sending | None = None
    token: str | None = None
    token_at: datetime | None = None
    taken: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The id of the forwarding, as it is sent along."""
        return str(self.id)


@dataclass(frozen=True, slots=True)
class Taken:
    """They have it: an id, a token, or neither of a service that is not followed."""

    remote_id: str | None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """What was sent is not in their list."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Their list cannot tell whether they have it."""

    kind: str


@dataclass(frozen=True, slots=True)
class Pending:
    """The token has not become an id yet."""


Result = Taken | Absent | Unclear | Pending | Failure


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job; `result` is None when its turn did not come."""

    job: Job
    result: Result | None
