"""Errors that a caller can act on, and their form on the wire (RFC 9457).

A broken rule raises a `DomainError` subclass that carries its HTTP status and a stable code.
`core.api` turns it into `application/problem+json`; nothing else needs to catch it.
"""

from __future__ import annotations

from typing import Any


class DomainError(Exception):
    """A rule of the domain was broken.

    Attributes:
        status: HTTP status of the answer.
        code: stable, machine-readable name of the rule.
        title: the same for people, without particulars; English, unless the error itself knows
            the reader's language.
        field: the field of the payload that is at fault, if there is one.
        extra: further members of the problem document.
    """

    status = 400
    code = "bad_request"
    title = "The request cannot be carried out"

    def __init__(self, detail: str = "", *, field: str | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.field = field
        self.extra = extra

    def problem(self) -> dict[str, Any]:
        """The problem document: type, title, status, detail, code, errors and the extra members."""
        document: dict[str, Any] = {
            "type": f"urn:riverain:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field is not None:
            document["errors"] = {self.field: [self.detail]}
        document.update(self.extra)
        return document


class NotFoundError(DomainError):
    """It does not exist, or this caller may not know that it does."""

    status = 404
    code = "not_found"
    title = "There is nothing here under that name"


class ConflictError(DomainError):
    """The present state does not allow it."""

    status = 409
    code = "conflict"
    title = "The present state does not allow this"


class StaleError(DomainError):
    """Somebody else changed the resource since it was read (If-Match)."""

    status = 412
    code = "stale"
    title = "This was changed by somebody else since you read it"


class InvalidError(DomainError):
    """The payload breaks a rule that the schema alone cannot know."""

    status = 422
    code = "invalid"
    title = "The payload is not valid"


class NotSignedInError(DomainError):
    """The call needs a session or a key."""

    status = 401
    code = "not_signed_in"
    title = "Sign in, or send a valid key"


class ForbiddenError(DomainError):
    """The caller is known and may not do this."""

    status = 403
    code = "forbidden"
    title = "You may not do this"


class TooManyRequestsError(DomainError):
    """This caller came too often; `retry_after` says in how many seconds to come back."""

    status = 429
    code = "too_many_requests"
    title = "Too many calls in a short time"


class UnavailableError(DomainError):
    """A part that this call needs is away; the same call may succeed soon."""

    status = 503
    code = "unavailable"
    title = "A part of the service is away for the moment"
