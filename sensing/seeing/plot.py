"""The evidence of a defect as a small picture: SVG, written by hand, in French or English. Pure.

On the left, where it is and how surely: the street in the direction of travel, and the circle in
which the defect lies nineteen times of twenty. Beside it, week by week, the trips that passed and
those of them that felt it. It holds no script, no font and no picture of anybody else's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

from babel.dates import format_date

#: Of the whole picture, pixels.
WIDTH, HEIGHT = 640, 360

#: Weeks that have room.
MOST_WEEKS = 26

#: Below fewer weeks the days of the first and the last would be written over each other.
_FEWEST_FOR_BOTH = 7

_PLAN = (96, 150, 66)  # Middle and radius of the plan.
_LEFT, _TOP, _RIGHT, _BOTTOM = 220, 96, 616, 276
_PLAN_M = 30.0

_INK, _QUIET, _LINE, _PASSED, _FELT = "#1c2430", "#5a6675", "#d5dbe3", "#b9c4d2", "#b3261e"

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "title": "Ce que les téléphones ont senti",
        "figures": "{hits} trajets sur {passes} · vraisemblance {belief} % · gravité {severity}/10",
        "none": "Trop peu de trajets pour les montrer.",
        "passed": "trajets",
        "felt": "l’ont senti",
        "within": "à {metres} m près",
        "scale": "{metres} m",
        "week": "semaine du {day}",
        "estimate": "Estimation faite par des capteurs. Position et semaines, jamais un trajet.",
        "gone": "Les trajets récents ne le confirment plus.",
    },
    "en": {
        "title": "What phones felt",
        "figures": "{hits} of {passes} trips · likelihood {belief}% · severity {severity}/10",
        "none": "Too few trips to show them.",
        "passed": "trips",
        "felt": "felt it",
        "within": "within {metres} m",
        "scale": "{metres} m",
        "week": "week of {day}",
        "estimate": "An estimate made by sensors. A place and weeks, never a trip.",
        "gone": "Recent trips do not confirm it any more.",
    },
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One week: when it began, how many trips passed, how many of them felt something."""

    monday: date
    passes: int
    hits: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is drawn.

    Attributes:
        error_m: standard error of the position along one axis.
        bars: oldest first; weeks between them had no trips, or too few to show.
    """

    hits: int
    passes: int
    belief: float
    severity: float
    error_m: float
    heading_deg: float
    is_present: bool
    bars: Sequence[Bar]


def drawn(evidence: Evidence, language: str) -> str:
    """The picture as the text of an SVG document."""
    texts = _TEXTS[language]
    severity = f"{evidence.severity:.1f}"
    figures = texts["figures"].format(
        hits=evidence.hits,
        passes=evidence.passes,
        belief=min(99, round(evidence.belief * 100)),
        severity=severity.replace(".", ",") if language == "fr" else severity,
    )
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
            f' width="{WIDTH}" height="{HEIGHT}" role="img" lang="{language}"'
            ' aria-labelledby="title figures"'
            ' font-family="system-ui, sans-serif">'
        ),
        f'<title id="title">{escape(texts["title"])}</title>',
        f'<desc id="figures">{escape(figures)}</desc>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(24, 36, texts["title"], size=18, weight=600),
        _text(24, 60, figures, size=14, colour=_QUIET),
        *_plan(evidence, texts),
        *_weeks(evidence.bars, texts, language),
        _text(24, HEIGHT - 16, texts["estimate"], size=12, colour=_QUIET),
    ]
    if not evidence.is_present:
        parts.append(_text(_LEFT, 84, texts["gone"], size=12, colour=_FELT))
    return "\n".join([*parts, "</svg>", ""])


def _plan(evidence: Evidence, texts: Mapping[str, str]) -> list[str]:
    """North is up: the way of the cars, and the circle of the defect."""
    x, y, radius = _PLAN
    metres = max(1, round(2.0 * evidence.error_m))
    circle = max(3.0, min(float(radius), 2.0 * evidence.error_m * radius / _PLAN_M))
    turn = f"rotate({evidence.heading_deg:.0f} {x} {y})"
    scale = radius * 10.0 / _PLAN_M
    return [
        (f'<g transform="{turn}"><rect x="{x - 13}" y="{y - radius}" width="26"'
        f' height="{2 * radius}" fill="{_LINE}"/><path d="M{x - 5} {y - radius + 12} L{x}'
        f' {y - radius + 2} L{x + 5} {y - radius + 12}" fill="none" stroke="{_QUIET}"'
        ' stroke-width="2"/></g>'),
        (f'<circle cx="{x}" cy="{y}" r="{circle:.1f}" fill="{_FELT}" fill-opacity=".22"'
        f' stroke="{_FELT}"/><circle cx="{x}" cy="{y}" r="2.5" fill="{_FELT}"/>'),
        _text(x, y + radius + 22, texts["within"].format(metres=metres), size=12, anchor="middle"),
        (f'<path d="M{x - scale / 2:.1f} {y + radius + 34} h{scale:.1f}" stroke="{_INK}"'
        ' stroke-width="2"/>'),
        _text(
            x, y + radius + 50, texts["scale"].format(metres=10), size=12, anchor="middle",
            colour=_QUIET,
        ),
    ]  # fmt: skip


def _weeks(bars: Sequence[Bar], texts: Mapping[str, str], language: str) -> list[str]:
    """Bars by week: all trips, and within them those that felt it."""
    shown = list(bars)[-MOST_WEEKS:]
    if not shown:
        return [_text(_LEFT, (_TOP + _BOTTOM) / 2, texts["none"], size=13, colour=_QUIET)]
    first, last = shown[0].monday, shown[-1].monday
    count = (last - first).days // 7 + 1
    most = max(bar.passes for bar in shown)
    step = min(30.0, (_RIGHT - _LEFT) / count)
    width = max(2.0, step * 0.7)
    parts = [
        f'<path d="M{_LEFT} {_BOTTOM} H{_RIGHT}" stroke="{_LINE}"/>',
        _text(_LEFT - 8, _TOP + 4, str(most), size=12, colour=_QUIET, anchor="end"),
        _text(_LEFT - 8, _BOTTOM, "0", size=12, colour=_QUIET, anchor="end"),
    ]
    for bar in shown:
        x = _LEFT + step * ((bar.monday - first).days // 7)
        day = format_date(bar.monday, "d MMM y", locale=_babel(language))
        said = (
            f"{texts['week'].format(day=day)} : {bar.passes} {texts['passed']},"
            f" {bar.hits} {texts['felt']}"
        )
        parts.append(
            f"<g><title>{escape(said)}</title>{_bar(x, width, bar.passes, most, _PASSED)}"
            f"{_bar(x, width, bar.hits, most, _FELT)}</g>"
        )
    days = [(first, "start", float(_LEFT))]
    if count >= _FEWEST_FOR_BOTH:
        days.append((last, "end", _LEFT + step * count))
    for monday, anchor, x in days:
        day = format_date(monday, "d MMM y", locale=_babel(language))
        parts.append(_text(x, _BOTTOM + 18, day, size=12, colour=_QUIET, anchor=anchor))
    for place, (name, colour) in enumerate((("passed", _PASSED), ("felt", _FELT))):
        x = _LEFT + 110 * place
        parts.append(f'<rect x="{x}" y="{_BOTTOM + 30}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 16, _BOTTOM + 39, texts[name], size=12))
    return parts


def _bar(x: float, width: float, count: int, most: int, colour: str) -> str:
    height = (_BOTTOM - _TOP) * count / most
    return (
        f'<rect x="{x:.1f}" y="{_BOTTOM - height:.1f}" width="{width:.1f}" height="{height:.1f}"'
        f' fill="{colour}"/>'
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: int,
    colour: str = _INK,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
        f' text-anchor="{anchor}">{escape(words)}</text>'
    )


def _babel(language: str) -> str:
    return {"fr": "fr_FR", "en": "en_GB"}[language]
