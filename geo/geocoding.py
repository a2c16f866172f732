"""From an address to a position and back: the gazetteer first, then a geocoder on the network.

A geocoder that is slow, wrong or down never holds up a report and never raises: the outcome says
`UNAVAILABLE`, and the caller goes on without. No transaction is open while a foreign server is
asked, so the work is in three steps:

1. `look_up`, in a transaction: the gazetteer, then what was answered before. It leaves None where
   somebody on the network must be asked.
2. `ask`, outside: those questions, with a timeout for each and a limit for all.
3. `remember`, in another transaction: keeps what was found, and for a shorter time what was not.
"""

from __future__ import annotations

import enum
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.outgoing import NOTHING_ALLOWED, Allowance
from core.text import fold
from geo import gazetteer
from geo.gazetteer import AddressMatch, Precision
from geo.measures import Box, Point
from geo.models import GeocodeCache

#: The gazetteer's answer is taken from this confidence on; below it the network is asked.
SURE_ENOUGH = 0.6

#: A place found stays where it is; houses are built where nothing was found.
FOUND_IS_KEPT = timedelta(days=90)
NOT_FOUND_IS_KEPT = timedelta(days=7)

#: All questions of one call of `ask` together take no longer than this and one timeout more, so a
#: slow geocoder costs a batch seconds, not minutes.
PATIENCE_S = 10.0

_USER_AGENT = "riverain"


class Outcome(enum.StrEnum):
    """How a question to a geocoder ended."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class AddressQuestion:
    """Where is this address? `box` is where the jurisdiction lies: others of that name are not."""

    text: str
    box: Box
    country: str
    language: str


@dataclass(frozen=True, slots=True)
class PositionQuestion:
    """What is the address here?"""

    point: Point
    language: str


Question = AddressQuestion | PositionQuestion


@dataclass(frozen=True, slots=True)
class Place:
    """A place with its address.

    Attributes:
        label: the address on one line, to show.
        source: `gazetteer`, or the name of the geocoder.
        accuracy_m: how far off the position may be.
        confidence: 0 to 1.
    """

    point: Point
    label: str
    source: str
    accuracy_m: float
    confidence: float
    street: str | None = None
    house_number: str | None = None
    postcode: str | None = None
    locality: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a question; with a place exactly when it is `FOUND`."""

    outcome: Outcome
    place: Place | None = None


NOT_FOUND = Answer(Outcome.NOT_FOUND)
UNAVAILABLE = Answer(Outcome.UNAVAILABLE)


class Geocoder(Protocol):
    """Somebody on the network who knows addresses. Its methods never raise."""

    @property
    def name(self) -> str:
        """Part of the key of what is remembered, and the `source` of its places."""

    @property
    def pause_s(self) -> float:
        """How long to wait between two questions."""

    def forward(self, question: AddressQuestion) -> Answer:
        """The place of an address."""

    def reverse(self, question: PositionQuestion) -> Answer:
        """The address of a place."""


# -- the three steps -------------------------------------------------------------------------------


def look_up(
    session: Session,
    jurisdiction_id: int,
    questions: Sequence[Question],
    geocoder: Geocoder | None,
    *,
    now: datetime,
) -> list[Answer | None]:
    """What is known already, in the order of the questions; None: the geocoder must be asked.

    Without a geocoder nothing is None: what the gazetteer does not know is not found.
    """
    answers = _from_gazetteer(session, jurisdiction_id, questions)
    if geocoder is None:
        return [answer or NOT_FOUND for answer in answers]
    open_keys = {
        _key(geocoder, question): None
        for question, answer in zip(questions, answers, strict=True)
        if answer is None
    }
    if not open_keys:
        return answers
    remembered = {
        row.key: _restored(row.answer)
        for row in session.execute(
            sa.select(GeocodeCache.key, GeocodeCache.answer).where(
                GeocodeCache.key.in_(list(open_keys)), GeocodeCache.expires_at > now
            )
        )
    }
    return [
        answer or remembered.get(_key(geocoder, question))
        for question, answer in zip(questions, answers, strict=True)
    ]


def ask(
    geocoder: Geocoder,
    questions: Sequence[Question],
    *,
    patience_s: float = PATIENCE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Answer]:
    """The geocoder's answers, in order. Not in a transaction: this waits for a foreign server.

    After the first `UNAVAILABLE`, and when the patience is at an end, the rest is not asked.
    """
    answers: list[Answer] = []
    started = clock()
    for index, question in enumerate(questions):
        if index and geocoder.pause_s:
            sleep(geocoder.pause_s)
        if clock() - started >= patience_s:
            break
        if isinstance(question, AddressQuestion):
            answer = geocoder.forward(question)
        else:
            answer = geocoder.reverse(question)
        answers.append(answer)
        if answer.outcome is Outcome.UNAVAILABLE:
            break
    return answers + [UNAVAILABLE] * (len(questions) - len(answers))


def remember(
    session: Session,
    geocoder: Geocoder,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    *,
    now: datetime,
) -> None:
    """Keep what the geocoder said, in the caller's transaction; `UNAVAILABLE` says nothing."""
    rows: dict[str, dict[str, Any]] = {
        key: {
            "key": key,
            # An SQL NULL, not the JSON one.
            "answer": sa.null() if answer.place is None else asdict(answer.place),
            "asked_at": now,
            "expires_at": now + (FOUND_IS_KEPT if answer.place else NOT_FOUND_IS_KEPT),
        }
        for key, answer in sorted(
            (
                (_key(geocoder, question), answer)
                for question, answer in zip(questions, answers, strict=True)
                if answer.outcome is not Outcome.UNAVAILABLE
            ),
            # One order for all, so that two workers with the same questions do not deadlock.
            key=lambda pair: pair[0],
        )
    }
    if not rows:
        return
    insert = postgresql.insert(GeocodeCache).values(list(rows.values()))
    session.execute(
        insert.on_conflict_do_update(
            index_elements=["key"],
            set_={name: insert.excluded[name] for name in ("answer", "asked_at", "expires_at")},
        )
    )


def purge(session: Session, *, now: datetime) -> int:
    """Delete what has expired. Returns how many."""
    gone = session.execute(
        sa.delete(GeocodeCache).where(GeocodeCache.expires_at <= now).returning(GeocodeCache.key)
    )
    return len(gone.all())


# -- what is known already -------------------------------------------------------------------------


def _from_gazetteer(
    session: Session, jurisdiction_id: int, questions: Sequence[Question]
) -> list[Answer | None]:
    positions = [
        (index, question.point)
        for index, question in enumerate(questions)
        if isinstance(question, PositionQuestion)
    ]
    answers: list[Answer | None] = [None] * len(questions)
    matches = gazetteer.reverse(session, jurisdiction_id, [point for _, point in positions])
    for (index, _), match in zip(positions, matches, strict=True):
        if match is not None:
            answers[index] = _found(match)
    for index, question in enumerate(questions):
        if isinstance(question, AddressQuestion):
            best = gazetteer.search(session, jurisdiction_id, question.text, limit=1)
            if best and best[0].confidence >= SURE_ENOUGH:
                answers[index] = _found(best[0])
    return answers


def _found(match: AddressMatch) -> Answer:
    is_house = match.precision is not Precision.STREET and match.number is not None
    return Answer(
        Outcome.FOUND,
        Place(
            point=match.point,
            label=match.full_label,
            source="gazetteer",
            accuracy_m=match.accuracy_m,
            confidence=match.confidence,
            street=match.street,
            house_number=f"{match.number}{match.suffix}" if is_house else None,
            postcode=match.postcode,
            locality=match.locality,
        ),
    )


def _key(geocoder: Geocoder, question: Question) -> str:
    """A digest of the question: the table holds nobody's words."""
    if isinstance(question, AddressQuestion):
        box = question.box
        edges = f"{box.west:.2f},{box.south:.2f},{box.east:.2f},{box.north:.2f}"
        asked = f"address|{fold(question.text)}|{edges}|{question.country}"
    else:
        # Five decimals are a metre.
        asked = f"position|{question.point.lat:.5f},{question.point.lon:.5f}"
    said = f"{geocoder.name}|{question.language}|{asked}"
    return hashlib.sha256(said.encode()).hexdigest()


def _restored(stored: Mapping[str, Any] | None) -> Answer:
    if stored is None:
        return NOT_FOUND
    return Answer(Outcome.FOUND, Place(**{**stored, "point": Point(**stored["point"])}))


# -- geocoders on the network ----------------------------------------------------------------------


def geocoder_of(
    kind: str, url: str | None = None, *, timeout_s: float = 3.0, user_agent: str = _USER_AGENT
) -> Geocoder | None:
    """The geocoder that the settings GEOCODER, GEOCODER_URL and GEOCODER_TIMEOUT_S name.

    Args:
        kind: none, nominatim, ban or photon.
        url: of a server of one's own; the public one if unset.

    Raises:
        ValueError: no such kind, or the URL is not one of HTTP.
    """
    if kind == "none":
        return None
    # Their HTTP clients take twelve megabytes, which most installations need not spend.
    from geo.network_geocoders import KINDS, through_the_door

    if kind not in KINDS:
        raise ValueError(f"GEOCODER is {kind!r}; it can be none, {', '.join(KINDS)}")
    options: dict[str, Any] = {"timeout": timeout_s, "user_agent": user_agent}
    inside = NOTHING_ALLOWED
    if url is not None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"GEOCODER_URL is {url!r}; it must begin with http:// or https://")
        options |= {"scheme": parts.scheme, "domain": parts.netloc + parts.path.rstrip("/")}
        # The operator chose this one host, so it may well be inside.
        inside = Allowance.parse([parts.hostname or ""])
    options["adapter_factory"] = through_the_door(inside)
    return KINDS[kind](options)
