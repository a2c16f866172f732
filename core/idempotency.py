"""A write under an `Idempotency-Key` happens once, however often its client repeats it.

`@once(caller)` runs a view in one transaction and keeps its answer in the same one:

1. The key is claimed by inserting a row. A repetition that comes while the first is at work waits
   for it at the unique key; one that comes later finds the answer and gets it again.
2. The view runs. What it refuses is not kept: the transaction is rolled back, claim and all.
3. Status, body and entity tag are kept, and everything is committed together.

A key belongs to its caller, route and path; other payloads under the same key are refused (422).
Views under `@once` take their session from `core.db.db.session()` and open no transaction.
Intake has its own, older way: the report itself is found again by its id.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from flask import Response, make_response, request
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import InvalidError
from core.models import KeptAnswer

View = TypeVar("View", bound=Callable[..., Any])

#: For so long an answer is given again.
KEPT_FOR = timedelta(hours=24)

#: Longest key; a UUID has 36 characters.
MAX_KEY = 200

_HEADERS = ("Content-Type", "ETag", "Location", "Cache-Control")


class KeyReusedError(InvalidError):
    """The key stands for another payload."""

    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used for something else"


def once(
    caller: Callable[[], str], *, repeated: Callable[[Session], None] | None = None
) -> Callable[[View], View]:
    """Run a view in one transaction, at most once for each `Idempotency-Key`.

    Args:
        caller: who is asking, in words that nobody else's request yields.
        repeated: called before a kept answer is given again, in that transaction; raises when this
            caller may not see it any more.
    """

    def declare(view: View) -> View:
        @functools.wraps(view)
        def kept(*args: Any, **kwargs: Any) -> Response:
            key = _key()
            with transaction() as session:
                if key is None:
                    return make_response(view(*args, **kwargs))
                digest = _digest(caller(), request.method, request.path, key)
                before = _claim(session, digest, _payload_digest(), _subject(), utc_now())
                if before is not None:
                    if repeated is not None:
                        repeated(session)
                    return before
                answer = make_response(view(*args, **kwargs))
                if answer.status_code >= 300:
                    return answer
                _keep(session, digest, answer)
                return answer

        return kept  # type: ignore[return-value]

    return declare


def spend(session: Session, *what: str, now: datetime) -> bool:
    """Use something up that may be used once within a day; False when it was used before.

    In the caller's transaction, to be committed before anything is done with it.
    """
    return _claim(session, _digest("spent", *what), b"", None, now) is None


def clear(session: Session, *, now: datetime) -> int:
    """Delete the answers that are no longer given again; called by the beat. How many."""
    gone = session.execute(
        sa.delete(KeptAnswer)
        .where(KeptAnswer.created_at < now - KEPT_FOR)
        .returning(KeptAnswer.digest)
    )
    return len(gone.all())


def forget(session: Session, *subject_ids: UUID) -> None:
    """Delete the answers about these things, because something in them is taken out.

    The call that is being worked on keeps its claim: its own answer is written after this.
    """
    session.execute(
        sa.delete(KeptAnswer).where(
            KeptAnswer.subject_id.in_(subject_ids), KeptAnswer.status.is_not(None)
        )
    )


def _key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise InvalidError(
            f"The Idempotency-Key must have 1 to {MAX_KEY} characters.", field="Idempotency-Key"
        )
    return key


def _claim(
    session: Session, digest: bytes, payload: bytes, subject_id: UUID | None, now: datetime
) -> Response | None:
    """Take the key for this request; the answer that stands under it already, if there is one."""
    values: dict[str, Any] = {
        "payload_digest": payload,
        "subject_id": subject_id,
        "status": None,
        "headers": {},
        "body": "",
        "created_at": now,
    }
    claimed = session.execute(
        postgresql.insert(KeptAnswer)
        .values(digest=digest, **values)
        .on_conflict_do_update(
            index_elements=["digest"],
            set_=values,
            where=KeptAnswer.created_at < now - KEPT_FOR,
        )
        .returning(KeptAnswer.digest)
    ).one_or_none()
    if claimed is not None:
        return None
    kept = session.execute(
        sa.select(
            KeptAnswer.payload_digest, KeptAnswer.status, KeptAnswer.headers, KeptAnswer.body
        ).where(KeptAnswer.digest == digest)
    ).one()
    if bytes(kept.payload_digest) != payload:
        raise KeyReusedError(field="Idempotency-Key")
    answer = Response(kept.body, status=kept.status, headers=kept.headers)
    answer.headers["Idempotent-Replayed"] = "true"
    return answer


def _keep(session: Session, digest: bytes, answer: Response) -> None:
    session.execute(
        sa.update(KeptAnswer)
        .where(KeptAnswer.digest == digest)
        .values(
            status=answer.status_code,
            headers={name: answer.headers[name] for name in _HEADERS if name in answer.headers},
            body=answer.get_data(as_text=True),
        )
    )


def _subject() -> UUID | None:
    """What the path names first, if that is an id."""
    return next((arg for arg in (request.view_args or {}).values() if isinstance(arg, UUID)), None)


def _payload_digest() -> bytes:
    """Digest of what was sent. Of a form its parts: a client that repeats it makes new borders."""
    if request.mimetype != "multipart/form-data":
        return _digest(request.mimetype, request.get_data(cache=True))
    parts: list[str | bytes] = []
    for name, text in sorted(request.form.items(multi=True)):
        parts += ["field", name, text]
    for name, file in sorted(request.files.items(multi=True), key=lambda item: item[0]):
        parts += ["file", name, hashlib.file_digest(file.stream, "sha256").digest()]  # type: ignore[arg-type]
        file.stream.seek(0)
    return _digest("form", *parts)


def _digest(*parts: str | bytes) -> bytes:
    hashed = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hashed.update(len(raw).to_bytes(8, "big") + raw)
    return hashed.digest()
