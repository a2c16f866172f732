"""The words of messages: templates, dates in the reader's form, and how a letter is laid out.

One file per occasion and language holds the words, as Jinja blocks: `subject`, `news`, `next`,
`sms`, `push`… What a file leaves out, `words.jinja` of its language says. Text and HTML of a letter
are laid out from the same blocks, so that they cannot say different things; HTML is escaped.
Templates are compiled once per process. No database here: a message's facts are all in its `Facts`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_time
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.runtime import Context
from markupsafe import Markup

from core.i18n import LANGUAGES
from notifications.vocabulary import Occasion

TEMPLATES = Path(__file__).parent / "templates"

#: Longer names and notes are cut in texts and on telephone screens.
_SHORT_SERVICE = 40
_SHORT_NOTE = 120


@dataclass(frozen=True, slots=True)
class Row:
    """One report in a team's digest."""

    number: int
    service: str
    address: str
    due_on: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a message may say, in the reader's language; empty where there is nothing to say."""

    city: str
    number: int | None = None
    service: str = ""
    address: str = ""
    requested_on: str = ""
    due_on: str = ""
    status: str = ""
    #: The status before, where the message is about a change of it.
    status_before: str = ""
    team: str = ""
    #: The team's words: a reason, a question, a remark.
    note: str = ""
    #: The report that this one was joined to.
    parent_number: int | None = None
    #: How many people tell of the problem or said "me too", the reader among them.
    people: int = 0
    is_reporter: bool = False
    #: The city's e-mail address or telephone number.
    contact: str = ""
    #: Until when the reporter may say that it is not fixed.
    reopen_until: str = ""
    link: str = ""
    leave_url: str = ""
    #: Of an invitation: a code of `accounts.rules.Role`.
    role: str = ""
    #: Of a changed account: a code of `accounts.notices.AccountChange`; of a correction that was
    #: overtaken: of `assets.corrections.vocabulary.Overtaken`.
    change: str = ""
    #: Of what is told to volunteers: the asset, the name it was given, an end of a term or of an
    #: offer, and what happened, as a code of the event.
    asset: str = ""
    #: Several of them, each with a link of its own, or with "".
    own_assets: Sequence[tuple[str, str]] = field(default=())
    asset_name: str = ""
    until: str = ""
    turn: str = ""
    #: A second link, where there is something else to do.
    other_link: str = ""
    #: What the public reads of a report.
    quote: str = ""
    #: Of a sign-in.
    code: str = ""
    expires_at: str = ""
    #: Of a digest.
    since: str = ""
    new_count: int = 0
    overdue_count: int = 0
    new_rows: Sequence[Row] = field(default=())
    overdue_rows: Sequence[Row] = field(default=())
    #: Repairs of roads that the trips since have confirmed.
    confirmed_count: int = 0
    confirmed_rows: Sequence[Row] = field(default=())


@dataclass(frozen=True, slots=True)
class Section:
    """A titled list in a letter."""

    title: str
    rows: Sequence[str]
    more: str
    #: Of each row, where it leads; empty: nowhere.
    links: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail's words."""

    subject: str
    text: str
    html: str | None


@dataclass(frozen=True, slots=True)
class Note:
    """A push message's words."""

    title: str
    text: str


def letter(occasion: Occasion, locale: str, facts: Facts, *, with_html: bool) -> Letter:
    """The e-mail of an occasion; without HTML for those who only read text."""
    context = _context(facts, locale)
    subject, text = _laid_out("letter.txt", occasion, locale, facts, context)
    html = None
    if with_html:
        html = _laid_out("letter.html", occasion, locale, facts, context)[1]
    return Letter(subject, text, html)


def short_text(occasion: Occasion, locale: str, facts: Facts) -> str:
    """The text message of an occasion."""
    return _line(_say("letter.txt", occasion, locale, "sms", _context(facts, locale)))


def push_note(occasion: Occasion, locale: str, facts: Facts) -> Note:
    """The push message of an occasion: the report as title, the news as text."""
    context = _context(facts, locale)
    title = _line(_say("letter.txt", occasion, locale, "number_label", context))
    text = _line(_say("letter.txt", occasion, locale, "push", context))
    return Note(f"{title} {facts.service}", text)


@functools.lru_cache(maxsize=4096)
def day_in(locale: str, country: str, day: date) -> str:
    """A date as the reader writes it: 12 mars 2026, 12 March 2026, March 12, 2026."""
    return format_date(day, format="long", locale=_regional(locale, country))


def clock_in(locale: str, country: str, zone: tzinfo, instant: datetime) -> str:
    """The time of day as the reader writes it: 14:05, 2:05 PM."""
    local = instant.astimezone(zone)
    return format_time(
        local.time().replace(tzinfo=None), format="short", locale=_regional(locale, country)
    )


def _regional(locale: str, country: str) -> str:
    if locale == "en":
        # Everywhere but in the USA, English readers here expect day before month.
        return "en_US" if country == "US" else "en_GB"
    return f"fr_{country}" if country in ("FR", "BE", "CA", "CH", "LU") else "fr"


Block = Callable[[Context], Iterator[str]]


@dataclass(frozen=True, slots=True)
class _Script:
    """The blocks of one occasion in one language, defaults included."""

    template: Template
    blocks: Mapping[str, Block]


def _paragraphs(words: str) -> Markup:
    """Blank lines part paragraphs; already escaped by the block that made the words."""
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", str(words).strip()))
    return Markup("\n").join(Markup(f"<p>{part}</p>") for part in parts if part)


def _plain(words: str) -> str:
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", words.strip()))
    return "\n\n".join(part for part in parts if part)


def _indented(words: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in words.strip().splitlines())


def _line(words: str) -> str:
    return " ".join(words.split())


def _environment(*, is_html: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=is_html,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    environment.filters["paragraphs"] = _paragraphs
    environment.filters["plain"] = _plain
    environment.filters["indented"] = _indented
    return environment


@functools.cache
def _frame(name: str) -> Template:
    return _environments()[name].get_template(name)


@functools.cache
def _environments() -> Mapping[str, Environment]:
    return {
        "letter.txt": _environment(is_html=False),
        "letter.html": _environment(is_html=True),
    }


@functools.cache
def _script(frame: str, occasion: Occasion, locale: str) -> _Script:
    environment = _environments()[frame]
    if locale not in LANGUAGES:
        raise ValueError(f"no messages are written in {locale!r}")
    template = environment.get_template(f"{locale}/{occasion.value}.jinja")
    shared = environment.get_template(f"{locale}/words.jinja")
    return _Script(template, {**shared.blocks, **template.blocks})


def _say(
    frame: str, occasion: Occasion, locale: str, block: str, context: Mapping[str, Any]
) -> str:
    script = _script(frame, occasion, locale)
    return "".join(script.blocks[block](script.template.new_context(dict(context))))


#: Blocks that every letter has, in the words of its occasion or of all.
_OF_LETTERS = (
    "subject", "greeting", "news", "note_label", "quote_label", "next", "action", "other_action",
    "why", "leave",
)  # fmt: skip


def _laid_out(
    frame: str, occasion: Occasion, locale: str, facts: Facts, context: Mapping[str, Any]
) -> tuple[str, str]:
    """Subject and whole text of a letter in one frame."""
    script = _script(frame, occasion, locale)
    is_html = frame == "letter.html"
    # What a block says is escaped in the HTML environment; the frame must not do it twice.
    mark: Callable[[str], str] = Markup if is_html else str
    told = script.template.new_context(dict(context))

    def say(block: str) -> str:
        return mark("".join(script.blocks[block](told)))

    words = {
        name: say(name) if name in ("news", "next") else mark(_line(say(name)))
        for name in _OF_LETTERS
    }
    details = []
    if facts.number is not None:
        details.append((mark(_line(say("number_label"))), facts.service))
        if facts.address:
            details.append((mark(say("address_label")), facts.address))
        if facts.requested_on:
            details.append((mark(say("requested_label")), facts.requested_on))
    if facts.asset:
        details.append((mark(_line(say("asset_label"))), facts.asset))
    body = _frame(frame).render(
        words=words,
        details=details,
        sections=_sections(frame, occasion, locale, facts, context, mark),
        **context,
    )
    if is_html and locale == "fr":
        body = _unbroken(body)
    return words["subject"], body if is_html else re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"


def _sections(
    frame: str,
    occasion: Occasion,
    locale: str,
    facts: Facts,
    context: Mapping[str, Any],
    mark: Callable[[str], str],
) -> list[Section]:
    sections = []
    for name, rows, count in (
        ("new", facts.new_rows, facts.new_count),
        ("overdue", facts.overdue_rows, facts.overdue_count),
        ("confirmed", facts.confirmed_rows, facts.confirmed_count),
    ):
        if not rows:
            continue

        def say(block: str, **more: Any) -> str:
            return mark(_line(_say(frame, occasion, locale, block, {**context, **more})))

        left = count - len(rows)
        sections.append(
            Section(
                title=say(f"{name}_title"),
                rows=[
                    say("row", **{part.name: getattr(row, part.name) for part in fields(row)})
                    for row in rows
                ],
                more=say("more", count=left) if left > 0 else "",
            )
        )
    if facts.own_assets:
        title = _line(_say(frame, occasion, locale, "assets_title", context))
        # Nobody has escaped these yet: the frame does.
        names = [name for name, _ in facts.own_assets]
        links = [link for _, link in facts.own_assets if link]
        sections.append(Section(mark(title), names, "", links))
    return sections


def _context(facts: Facts, locale: str) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(facts, name) for name in _FACTS}
    values["locale"] = locale
    values["service_short"] = _cut(facts.service, _SHORT_SERVICE)
    values["note_short"] = _cut(_line(facts.note), _SHORT_NOTE)
    return values


_FACTS = tuple(part.name for part in fields(Facts))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _unbroken(html: str) -> str:
    """French puts a space before : ; ! ? and inside « »; a line must not break there."""
    return re.sub(r"(?<=\S) (?=[:;!?»])|(?<=«) |(?<=n°) ", "\u00a0", html)
