"""What a list is asked for: window of time, statuses, place, ids, page. Reads parameters only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from geo.jurisdictions import JurisdictionRef
from open311.parameters import Parameters
from open311.reading import Cut
from open311.translating import STATUSES, State
from reports.listing import Filters
from reports.schemas import MAX_RADIUS_M
from reports.vocabulary import Status

#: The standard's limits of a list: so many days and so many requests.
MOST_DAYS = timedelta(days=90)
MOST_REQUESTS = 1000

#: Pages beyond this hold nothing anybody reads one by one.
_LAST_PAGE = 1_000_000

#: Without `radius`, what "near" means.
_RADIUS_M = 500.0

#: An end is included: the whole second that it names, because times are shown in whole seconds.
_SECOND = timedelta(seconds=1)


def ids(names: Iterable[str]) -> tuple[list[UUID], list[int]]:
    """Of these names the ids and the short numbers; what is neither is nobody's."""
    ids: list[UUID] = []
    numbers: list[int] = []
    for name in names:
        bare = name.removeprefix("#")
        if bare.isascii() and bare.isdigit() and len(bare) <= 18:
            numbers.append(int(bare))
            continue
        try:
            ids.append(UUID(name))
        except ValueError:
            continue
    return ids, numbers


def filters(sent: Parameters, place: JurisdictionRef, now: datetime, *, is_bulk: bool) -> Filters:
    """What a list asks for."""
    statuses: list[Status] = []
    for word in sent.listed("status"):
        try:
            statuses += STATUSES[State(word.lower())]
        except ValueError:
            sent.fault(f"status: {word[:60]!r} is neither open nor closed")
    since, until = sent.moment("start_date"), sent.moment("end_date")
    changed_since, changed_until = sent.moment("updated_after"), sent.moment("updated_before")
    for name, first, last in (
        ("end_date", since, until),
        ("updated_before", changed_since, changed_until),
    ):
        if first is not None and last is not None and first > last:
            sent.fault(f"{name}: it lies before the beginning of the window")
    if not is_bulk:
        if since is not None and until is not None and until - since > MOST_DAYS:
            sent.fault(f"end_date: a window may span at most {MOST_DAYS.days} days")
        # Whoever asks what changed asks for old requests, too.
        if changed_since is None and changed_until is None:
            since, until = _window(since, until, now)
    point = sent.point()
    radius_m = sent.number("radius")
    if radius_m is not None and not 0 < radius_m <= MAX_RADIUS_M:
        sent.fault(f"radius: it is in metres, more than 0 and at most {MAX_RADIUS_M}")
    return Filters(
        jurisdiction_ids=(place.id,),
        service_codes=sent.listed("service_code"),
        statuses=tuple(dict.fromkeys(statuses)),
        since=since,
        until=after(until),
        updated_since=changed_since,
        updated_until=after(changed_until),
        near=point,
        radius_m=radius_m or _RADIUS_M,
        box=sent.box("bbox"),
    )


def _window(
    since: datetime | None, until: datetime | None, now: datetime
) -> tuple[datetime, datetime | None]:
    """The window of time, of the standard's 90 days where not both ends are said."""
    try:
        if since is None:
            return (until or now) - MOST_DAYS, until
        return since, until or since + MOST_DAYS
    except OverflowError:
        # At the ends of the calendar there is nothing to find.
        return since or until or now, until or since


def after(end: datetime | None) -> datetime | None:
    """The first instant that does not belong to a window any more which ends so."""
    try:
        return end and end + _SECOND
    except OverflowError:
        return end


def cut(sent: Parameters, most: int | None) -> Cut:
    """Which page; without `most` everything, unless a page is asked for."""
    size = sent.whole("page_size", 1, MOST_REQUESTS)
    page = sent.whole("page", 1, _LAST_PAGE) or 1
    if size is None and (most is not None or page > 1):
        size = most or MOST_REQUESTS
    return Cut(skip=(page - 1) * (size or 0), size=size)
