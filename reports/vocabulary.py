"""The words of the service request: its statuses, sources and the like. Pure."""

from __future__ import annotations

import enum


class Status(enum.StrEnum):
    """Where a service request stands; `reports.rules` says who may move it where."""

    RECEIVED = "received"
    TRIAGED = "triaged"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    ON_HOLD = "on_hold"
    RESOLVED = "resolved"
    CLOSED = "closed"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    REOPENED = "reopened"

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to do something about it."""
        return self in OPEN_STATUSES


class ServiceKind(enum.StrEnum):
    """Open311's `type`: how the city answers a submission."""

    REALTIME = "realtime"
    BATCH = "batch"
    BLACKBOX = "blackbox"


class Source(enum.StrEnum):
    """Through which door a request came in."""

    APP = "app"
    WEB = "web"
    PHONE = "phone"
    COUNTER = "counter"
    EMAIL = "email"
    OPEN311 = "open311"
    SENSOR = "sensor"
    STAFF = "staff"
    IMPORT = "import"


class RulesOrigin(enum.StrEnum):
    """Where a version of the routing rules came from."""

    FOLDER = "folder"
    MANAGER = "manager"


class PlaceSource(enum.StrEnum):
    """Where a request's position came from."""

    PIN = "pin"
    ADDRESS = "address"
    ASSET = "asset"
    STAFF = "staff"
    UNKNOWN = "unknown"


class Visibility(enum.StrEnum):
    """Whether the public may see a request."""

    PUBLIC = "public"
    HELD = "held"
    HIDDEN = "hidden"


class HistoryKind(enum.StrEnum):
    """What an entry of the history records."""

    STATUS = "status"
    LOCATED = "located"
    ROUTED = "routed"
    ASSIGNED = "assigned"
    JOINED = "joined"
    UNJOINED = "unjoined"
    SERVICE_CHANGED = "service_changed"
    MOVED = "moved"
    COMMENTED = "commented"
    ASKED = "asked"
    ANSWERED = "answered"
    ADDED = "added"
    PHOTO_ADDED = "photo_added"
    PHOTO_DROPPED = "photo_dropped"
    DUE_CHANGED = "due_changed"
    WITHDRAWN = "withdrawn"
    VISIBILITY_CHANGED = "visibility_changed"
    REDACTED = "redacted"
    ANONYMISED = "anonymised"
    SUGGESTION_REFUSED = "suggestion_refused"
    SUGGESTION_TAKEN_BACK = "suggestion_taken_back"
    RECURRED = "recurred"
    PRIORITY_CHANGED = "priority_changed"
    ASSET_LINKED = "asset_linked"
    VOLUNTEER_ANSWERED = "volunteer_answered"


class Recurrence(enum.StrEnum):
    """What becomes of a problem that is told again a short while after its repair."""

    REOPEN = "reopen"
    NEW = "new"


class PriorityBy(enum.StrEnum):
    """Who changed the priority that the rules gave."""

    EVIDENCE = "evidence"
    PERSON = "person"


class LinkedBy(enum.StrEnum):
    """Who said which asset a report is about, where its reporter did not."""

    NEAREST = "nearest"
    PERSON = "person"


class ActorKind(enum.StrEnum):
    """Who did it."""

    REPORTER = "reporter"
    STAFF = "staff"
    SYSTEM = "system"
    CITIZEN = "citizen"
    MACHINE = "machine"
    #: Whoever looks after the asset that it is about, or stands beside.
    VOLUNTEER = "volunteer"


class NoteKind(enum.StrEnum):
    """Whose words a note holds and who may read them."""

    PUBLIC = "public"
    INTERNAL = "internal"
    QUESTION = "question"
    ANSWER = "answer"
    ADDITION = "addition"


class RedactedPart(enum.StrEnum):
    """What of a report can be redacted."""

    DESCRIPTION = "description"
    ADDRESS = "address"
    ATTRIBUTE = "attribute"
    NOTE = "note"
    PHOTO = "photo"


class PhotoState(enum.StrEnum):
    """Where a photo stands; only `ready` ones are ever shown."""

    STAGED = "staged"
    READY = "ready"
    DROPPED = "dropped"


#: Statuses of requests that somebody still has to do something about.
OPEN_STATUSES = (
    Status.RECEIVED,
    Status.TRIAGED,
    Status.ASSIGNED,
    Status.IN_PROGRESS,
    Status.ON_HOLD,
    Status.REOPENED,
)
