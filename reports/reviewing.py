"""What a person looks at before the public does: held reports, why, and what the citizen is told.

A report is held when its service says so (`moderation: before_publication`), when its words may
point to somebody (`reports.personal_data`), or when a field was filled that people do not see. It
is worked on like any other and shown to nobody but its reporter and the staff, until somebody
publishes it. Nothing here decides whether a report is taken.

What its reporter gives a public report later is looked at by the same rules (`hold_unread`), in the
caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from core.i18n import pick
from geo import jurisdictions
from reports import changing, history
from reports.catalogue import service_of
from reports.history import SYSTEM, Entry
from reports.models import ServiceRequest
from reports.personal_data import Kind, findings
from reports.vocabulary import HistoryKind, Visibility

#: A field that people do not see was filled: by a program, or by a browser that meant well.
HONEYPOT = "honeypot"


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether a report is shown at once. `kinds`: why not, besides its service's moderation."""

    visibility: Visibility
    kinds: tuple[str, ...] = ()

    def stored(self, now: datetime) -> dict[str, Any] | None:
        """The column `review`: kinds and when, never the words."""
        if not self.kinds:
            return None
        return {"kinds": list(self.kinds), "at": now.isoformat().replace("+00:00", "Z")}


SHOWN = Judged(Visibility.PUBLIC)


def judge(text: str, country: str, *, moderation: str, is_trap_filled: bool = False) -> Judged:
    """What becomes of a report with these words.

    Args:
        country: of the city, ISO 3166-1 alpha-2.
        moderation: of the service, `none` or `before_publication`.
    """
    kinds = list(dict.fromkeys(finding.kind.value for finding in findings(text, country)))
    if is_trap_filled:
        kinds.append(HONEYPOT)
    is_held = bool(kinds) or moderation == "before_publication"
    return Judged(Visibility.HELD, tuple(kinds)) if is_held else SHOWN


def hold_unread(
    session: Session,
    report: ServiceRequest,
    text: str | None,
    *,
    has_photos: bool = False,
    now: datetime,
) -> bool:
    """Hold back a public report whose reporter gives it what the public would see unread.

    In the caller's transaction, on a locked report; what is held or hidden already stays so.

    Args:
        text: new words that everybody sees; None for none.
        has_photos: photos came, which wait where everything of the service does.
    """
    if report.visibility != Visibility.PUBLIC or not (text or has_photos):
        return False
    place = jurisdictions.by_id(session, report.jurisdiction_id)
    moderation = service_of(session, report).moderation
    judged = judge(text or "", place.country, moderation=moderation)
    if judged.visibility is Visibility.PUBLIC:
        return False
    report.review = judged.stored(now) or report.review
    report.visibility = judged.visibility.value
    changing.touch(report, now)
    session.flush()
    details = {"from": Visibility.PUBLIC.value, "to": judged.visibility.value}
    entry = Entry(report.id, HistoryKind.VISIBILITY_CHANGED, SYSTEM, data=details)
    history.append(session, [entry], now=now)
    return True


def advice(kinds: Sequence[str], *, is_moderated: bool, locale: str, default: str) -> str | None:
    """What the citizen is told before sending; None when there is nothing to say."""
    if kinds:
        names = [pick(_NAMES[Kind(kind)], locale, default) for kind in kinds]
        return pick(_FOUND, locale, default).format(_listed(names, pick(_AND, locale, default)))
    return pick(_MODERATED, locale, default) if is_moderated else None


def _listed(names: Sequence[str], word: str) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


_AND = {"fr": "et", "en": "and"}

_NAMES: Mapping[Kind, Mapping[str, str]] = {
    Kind.PHONE: {"fr": "un numéro de téléphone", "en": "a phone number"},
    Kind.EMAIL: {"fr": "une adresse e-mail", "en": "an e-mail address"},
    Kind.PLATE: {"fr": "une plaque d’immatriculation", "en": "a licence plate"},
    Kind.NAME: {"fr": "le nom d’une personne", "en": "somebody’s name"},
}

_FOUND = {
    "fr": "Votre texte semble contenir {}. Vous pouvez l’enlever. Sinon, nous traiterons votre"
    " signalement comme les autres, mais il ne sera public qu’après relecture.",
    "en": "Your text seems to contain {}. You can take it out. Otherwise we will handle your report"
    " like any other, but show it to the public only after somebody has read it.",
}

_MODERATED = {
    "fr": "Les signalements de ce type ne deviennent publics qu’après relecture.",
    "en": "Reports of this kind are shown to the public only after somebody has read them.",
}
