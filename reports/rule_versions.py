"""The routing rules of a city as its managers edit them: text with a history.

1. Rules are one text. `check` says everything that is wrong with it and what a careful reader would
   remark on, without storing anything.
2. `change` puts a text in force: the parsed rules replace those of before, the text becomes the
   next version, the audit log keeps who did it, and every process reads the city again. Nothing is
   ever deleted: `restore` puts an old text in force as a new version.
3. The city's folder brings rules too. `load` gives way to a manager: once somebody has changed the
   rules here, the folder's are left aside until they are forced, and the load says so.

Two managers at once: the city's row is locked, and who read another version is refused by the view
(`If-Match`). What the rules decided stands with each report and does not change with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit
from accounts.actors import Actor
from accounts.audit import Action, Subject
from accounts.models import Team
from core.changes import Changes
from core.errors import InvalidError, NotFoundError
from core.pagination import Page, pack, unpack
from geo import loading as geo_loading
from geo.jurisdictions import JurisdictionRef
from geo.models import Jurisdiction
from reports.catalogue import Catalogue
from reports.loading import load_routing_rules
from reports.models import RoutingRule, RoutingRuleVersion
from reports.routing import fault_wording, overlapping, people
from reports.routing.faults import RuleFault
from reports.routing.names import Vocabulary
from reports.routing.names import check as check_names
from reports.routing.rules import Rule
from reports.vocabulary import RulesOrigin, Source

#: Longer than the rules of any city: a thousand of them.
LONGEST_TEXT = 400_000

#: No version can have a higher number, nor a column compare itself with one.
_MOST = 2**31 - 1

_Columns = tuple[int, str, str, UUID | None, int | None, datetime]


class FaultyRulesError(InvalidError):
    """The text is not a list of rules for this city; every fault is in `faults`.

    Operators read it as it is raised, in English; a view has it `told_in` the reader's language.
    """

    code = "faulty_rules"

    def __init__(self, faults: Sequence[RuleFault], language: str = "en") -> None:
        super().__init__(
            fault_wording.summary(faults, language),
            field="text",
            faults=[as_document(fault, language) for fault in faults],
        )
        self.title = fault_wording.title(language)
        self.found = tuple(faults)

    def told_in(self, language: str) -> FaultyRulesError:
        """The same error for a reader of another language."""
        return FaultyRulesError(self.found, language)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a text comes to: rules, or faults; and remarks that forbid nothing."""

    rules: tuple[Rule, ...]
    faults: tuple[RuleFault, ...]
    warnings: tuple[RuleFault, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the rules; version 0 is a city without any.

    Attributes:
        by_id: the person who made it; None for the command line and the folder.
        restored: the version whose text came back with it.
    """

    version: int
    text: str
    origin: RulesOrigin
    by_id: UUID | None = None
    restored: int | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of the folder's rules.

    Attributes:
        kept: the manager's version that stays in force instead, if one does.
    """

    changes: Changes
    kept: Version | None = None


def as_document(fault: RuleFault, language: str) -> dict[str, object]:
    """A fault as JSON, its reason in that language."""
    return {
        "line": fault.line,
        "column": fault.column,
        "word": fault.word,
        "code": fault.code.value,
        "reason": fault_wording.reason(fault, language),
    }


def vocabulary(session: Session, catalogue: Catalogue) -> Vocabulary:
    """The names that rules of this city may use."""
    place = catalogue.place
    teams = session.scalars(
        sa.select(Team.code).where(Team.jurisdiction_id == place.id, Team.is_active)
    )
    areas: dict[str, set[str]] = {}
    for area in place.areas.refs:
        areas.setdefault(area.layer, set()).add(area.code)
    return Vocabulary(
        services={
            service.code: {
                attribute.code: (attribute.datatype, [value.key for value in attribute.values])
                for attribute in service.attributes
            }
            for service in catalogue.offered()
        },
        groups={service.group for service in catalogue.offered()},
        areas=areas,
        teams=set(teams),
        sources={source.value for source in Source},
        people=set(people.posts(session, place.id)),
    )


def check(session: Session, catalogue: Catalogue, text: str) -> Checked:
    """Everything that is wrong with a text, and what is worth a second look."""
    # The parser is large, and most processes never read a rule.
    from reports.routing import grammar

    try:
        rules = grammar.parse(text)
    except grammar.RuleSyntaxError as error:
        return Checked((), error.faults, ())
    faults = check_names(rules, vocabulary(session, catalogue))
    group_of = {service.code: service.group for service in catalogue.offered()}
    return Checked(rules, tuple(faults), tuple(overlapping.warnings(rules, group_of)))


def current(session: Session, jurisdiction_id: int) -> Version:
    """The rules in force."""
    found = session.execute(_versions(jurisdiction_id).limit(1)).first()
    if found is not None:
        return _version(found)
    texts = session.scalars(
        sa.select(RoutingRule.text)
        .where(RoutingRule.jurisdiction_id == jurisdiction_id)
        .order_by(RoutingRule.position)
    )
    text = "\n\n".join(texts)
    return Version(0, text and f"{text}\n", RulesOrigin.FOLDER)


def version(session: Session, jurisdiction_id: int, number: int) -> Version:
    """One version.

    Raises:
        NotFoundError: there is none of that number.
    """
    found = None
    if 0 < number <= _MOST:
        found = session.execute(
            _versions(jurisdiction_id).where(RoutingRuleVersion.version == number)
        ).first()
    if found is None:
        raise NotFoundError
    return _version(found)


def page(
    session: Session, jurisdiction_id: int, *, cursor: str | None, limit: int
) -> Page[Version]:
    """Versions, newest first."""
    asked = _versions(jurisdiction_id)
    if cursor is not None:
        [before] = unpack(cursor, 1)
        if isinstance(before, bool) or not isinstance(before, int) or abs(before) > _MOST:
            raise InvalidError("It is no cursor of this list.", field="cursor")
        asked = asked.where(RoutingRuleVersion.version < before)
    rows = session.execute(asked.limit(limit + 1)).all()
    items = [_version(row) for row in rows[:limit]]
    return Page(items, pack(items[-1].version) if len(rows) > limit else None)


def lock(session: Session, place: JurisdictionRef) -> Version:
    """Keep others from changing the rules until the transaction ends; the version in force."""
    session.execute(
        sa.select(Jurisdiction.id)
        .where(Jurisdiction.id == place.id)
        .with_for_update(key_share=True)
    )
    return current(session, place.id)


def change(
    session: Session,
    catalogue: Catalogue,
    text: str,
    *,
    by: Actor | None,
    now: datetime,
    restored: int | None = None,
) -> Version:
    """Put a text in force as the next version; the same text as now changes nothing.

    In the caller's transaction, after `lock`.

    Args:
        by: None is the operator at the command line.

    Raises:
        FaultyRulesError: something is wrong with it.
    """
    before = current(session, catalogue.place.id)
    if text == before.text:
        return before
    checked = check(session, catalogue, text)
    if checked.faults:
        raise FaultyRulesError(checked.faults)
    load_routing_rules(session, catalogue.place.id, checked.rules)
    made = Version(
        before.version + 1, text, RulesOrigin.MANAGER, by.person_id if by else None, restored, now
    )
    _add(session, catalogue.place.id, made)
    geo_loading.touch(session, catalogue.place.id)
    audit.record(
        session,
        by or audit.OPERATOR,
        Action.CITY_CHANGED,
        Subject("routing_rules", made.version, catalogue.place.id),
        now=now,
        data={"what": "routing_rules", "version": made.version, "restored": restored},
    )
    return made


def restore(
    session: Session, catalogue: Catalogue, number: int, *, by: Actor | None, now: datetime
) -> Version:
    """Put the text of an earlier version in force again, as a new version.

    Raises:
        NotFoundError: there is none of that number.
        FaultyRulesError: the city has changed since, and it names what is gone.
    """
    old = version(session, catalogue.place.id, number)
    return change(session, catalogue, old.text, by=by, now=now, restored=number)


def load(
    session: Session,
    jurisdiction_id: int,
    rules: Sequence[Rule],
    text: str,
    *,
    force: bool,
    now: datetime,
) -> Loaded:
    """Make the folder's rules those in force, unless a manager had the last word.

    In the caller's transaction, who also moves the version of the city. The folder says again what
    is in force: then nothing changes, whoever said it first.
    """
    before = current(session, jurisdiction_id)
    if before.origin is RulesOrigin.MANAGER and not force and before.text != text:
        from reports.routing import grammar

        return Loaded(Changes(unchanged=len(grammar.parse(before.text))), kept=before)
    changes = load_routing_rules(session, jurisdiction_id, rules)
    if before.version == 0 or before.text != text:
        made = Version(before.version + 1, text, RulesOrigin.FOLDER, created_at=now)
        _add(session, jurisdiction_id, made)
    return Loaded(changes)


def _add(session: Session, jurisdiction_id: int, made: Version) -> None:
    session.add(
        RoutingRuleVersion(
            jurisdiction_id=jurisdiction_id,
            version=made.version,
            text=made.text,
            origin=made.origin.value,
            by_id=made.by_id,
            restored=made.restored,
            created_at=made.created_at,
        )
    )
    session.flush()


def _versions(jurisdiction_id: int) -> sa.Select[*_Columns]:
    return (
        sa.select(
            RoutingRuleVersion.version,
            RoutingRuleVersion.text,
            RoutingRuleVersion.origin,
            RoutingRuleVersion.by_id,
            RoutingRuleVersion.restored,
            RoutingRuleVersion.created_at,
        )
        .where(RoutingRuleVersion.jurisdiction_id == jurisdiction_id)
        .order_by(RoutingRuleVersion.version.desc())
    )


def _version(row: sa.Row[*_Columns]) -> Version:
    return Version(
        row.version, row.text, RulesOrigin(row.origin), row.by_id, row.restored, row.created_at
    )
