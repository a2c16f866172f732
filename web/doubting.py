"""Reports that may repeat another one, side by side, for staff to say: the same, or not.

The same answers as `reports.suggestion_views` gives programs, with the same permissions. What was
said can be taken back from the notice that follows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts.access import allow, current_actor, permission
from accounts.actors import Actor
from accounts.rules import Permission
from core import links
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import ConflictError, InvalidError, NotFoundError
from core.i18n import pick
from core.pagination import BadCursorError
from geo.measures import distance_m
from reports import changing, listing, queries, suggesting
from reports.changing import author_of
from reports.duplicates.wording import sentence
from reports.listing import Filters, Sort
from reports.queries import Found, Suggestion
from reports.vocabulary import Visibility
from web.pages import blueprint, page, reader_language

_PER_PAGE = 10

#: What can be said of two reports.
_ANSWERS = {
    "same": suggesting.say_same,
    "another": suggesting.say_another,
    "undo": suggesting.take_back,
}

#: What the notice may say beside an answer: it could not be given.
_REFUSED = ("stale", "conflict")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two reports; `url` is None while the public may not see it."""

    found: Found
    service: str
    url: str | None


@dataclass(frozen=True, slots=True)
class Pair:
    """What is asked about.

    Attributes:
        other: None where it is not for this reader to see.
        also: numbers of what it may repeat besides.
        may_answer: whether this person may change both.
    """

    report: Side
    other: Side | None
    suggestion: Suggestion
    because: str
    distance_m: float | None
    percent: int | None
    also: Sequence[int]
    may_answer: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """What was just said of which two reports."""

    said: str
    report_id: UUID
    other_id: UUID
    numbers: tuple[int, int]

    @property
    def can_be_undone(self) -> bool:
        """Whether there is something to take back."""
        return self.said in ("same", "another")


@blueprint.get("/staff/duplicates")
@allow(permission(Permission.READ_REPORTS))
def possible_duplicates() -> ResponseReturnValue:
    """Open reports of one's work that may repeat others, oldest due first."""
    actor, cursor = current_actor(), request.args.get("cursor")
    with reading() as session:
        try:
            found = listing.page(
                session,
                Filters(may_repeat=True),
                scope=actor.scope(Permission.READ_REPORTS),
                sort=Sort.DUE,
                cursor=cursor,
                limit=_PER_PAGE,
            )
        except BadCursorError:
            raise NotFoundError from None
        suggested = queries.suggestions_of(session, [item.row for item in found.items])
        best = {some[0].id for some in suggested.values() if some}
        others = queries.several(session, list(best), is_public=False)
        lang = reader_language(actor.locale)
        return page(
            "possible_duplicates.html",
            locale=actor.locale,
            is_private=True,
            pairs=[
                _pair(item, suggested[item.row.id], others, actor, lang)
                for item in found.items
                if suggested.get(item.row.id)
            ],
            notice=_notice(session, actor),
            cursor=cursor,
            following=found.next,
        )


@blueprint.post("/staff/duplicates/<uuid:report_id>/<uuid:other_id>")
@allow(permission(Permission.TRIAGE_REPORTS))
def say_of_duplicates(report_id: UUID, other_id: UUID) -> ResponseReturnValue:
    """The same, not the same, or as if nothing had been said."""
    actor, said = current_actor(), request.form.get("answer", "")
    try:
        with transaction() as session:
            report, other = changing.take_both(
                session, actor, report_id, other_id, Permission.TRIAGE_REPORTS
            )
            answer = _ANSWERS.get(said)
            if answer is None:
                raise InvalidError("Say same, another or undo.", field="answer")
            if said != "undo" and request.form.get("version") != str(report.version):
                said = "stale"
            else:
                answer(session, report, other, by=author_of(actor), now=utc_now())
    except ConflictError:
        said = "conflict"
    address = url_for(
        "web.possible_duplicates",
        said=said,
        report=report_id,
        other=other_id,
        cursor=request.form.get("cursor") or None,
        lang=request.args.get("lang"),
    )
    return redirect(address, 303)


def _pair(
    item: Found,
    suggested: Sequence[Suggestion],
    others: Mapping[UUID, Found],
    actor: Actor,
    lang: str,
) -> Pair:
    likeliest = suggested[0]
    other = others.get(likeliest.id)
    if other is not None and not _may(actor, Permission.READ_REPORTS, other):
        other = None
    apart_m = None
    if other is not None and item.point is not None and other.point is not None:
        apart_m = distance_m(item.point, other.point)
    return Pair(
        report=_side(item, lang),
        other=_side(other, lang) if other is not None else None,
        suggestion=likeliest,
        because=sentence(likeliest.reasons, lang),
        distance_m=apart_m,
        percent=None if likeliest.score is None else round(100 * likeliest.score),
        also=[each.number for each in suggested[1:]],
        may_answer=other is not None
        and _may(actor, Permission.TRIAGE_REPORTS, item)
        and _may(actor, Permission.TRIAGE_REPORTS, other),
    )


def _side(found: Found, lang: str) -> Side:
    is_shown = found.row.visibility == Visibility.PUBLIC
    asked = lang if request.args.get("lang") else None
    return Side(
        found=found,
        service=pick(found.service.names, lang, found.place.default_locale),
        url=links.report_url("", found.place.code, found.row.number, asked) if is_shown else None,
    )


def _notice(session: Session, actor: Actor) -> Notice | None:
    """What the address says was just done; nothing of reports that the reader may not see."""
    said = request.args.get("said", "")
    report_id, other_id = (request.args.get(name, type=UUID) for name in ("report", "other"))
    if said not in (*_ANSWERS, *_REFUSED) or report_id is None or other_id is None:
        return None
    found = queries.several(session, [report_id, other_id], is_public=False)
    if len(found) < 2 or not all(
        _may(actor, Permission.READ_REPORTS, each) for each in found.values()
    ):
        return None
    numbers = (found[report_id].row.number, found[other_id].row.number)
    return Notice(said, report_id, other_id, numbers)


def _may(actor: Actor, needed: Permission, found: Found) -> bool:
    return actor.may(needed, found.row.jurisdiction_id, found.row.team_id)
