"""Small pictures of how good a judge is, as SVG without a library for drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_SIDE, _LEFT, _TOP = 320, 56, 34
#: Told apart by people who see no red, and in print.
_COLOURS = ("#0b6e99", "#c2571a", "#3a7d44", "#7a4b94", "#555555")

Points = Sequence[tuple[float, float]]


def _x(value: float) -> float:
    return round(_LEFT + value * _SIDE, 1)


def _y(value: float) -> float:
    return round(_TOP + (1 - value) * _SIDE, 1)


def chart(
    title: str,
    across: str,
    up: str,
    lines: Mapping[str, Points],
    dots: Mapping[str, tuple[float, float]] | None = None,
    *,
    diagonal: bool = False,
) -> str:
    """Lines and single dots on the unit square, each with its name."""
    dots = dots or {}
    names = [*lines, *dots]
    width = _LEFT + _SIDE + 20
    height = _TOP + _SIDE + 52 + 18 * len(names)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' font-family="sans-serif" font-size="12" role="img">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14" fill="#222222">{escape(title)}</text>',
    ]
    for tenth in range(0, 11, 2):
        value = tenth / 10
        parts += [
            (
                f'<path d="M{_x(0)} {_y(value)}H{_x(1)}M{_x(value)} {_y(0)}V{_y(1)}"'
                ' stroke="#dddddd" fill="none"/>'
            ),
            f'<text x="{_LEFT - 8}" y="{_y(value) + 4}" text-anchor="end">{value}</text>',
            f'<text x="{_x(value)}" y="{_y(0) + 16}" text-anchor="middle">{value}</text>',
        ]
    middle = _TOP + _SIDE / 2
    parts += [
        f'<text x="{_x(0.5)}" y="{_y(0) + 34}" text-anchor="middle">{escape(across)}</text>',
        (
            f'<text x="14" y="{middle}" text-anchor="middle"'
            f' transform="rotate(-90 14 {middle})">{escape(up)}</text>'
        ),
    ]
    if diagonal:
        parts.append(
            f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="#999999" stroke-dasharray="4 4"/>'
        )
    for index, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        steps = " ".join(f"{_x(a)},{_y(b)}" for a, b in thinned(points))
        parts.append(f'<polyline points="{steps}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_legend(index, name, colour))
    for index, (name, (a, b)) in enumerate(dots.items(), len(lines)):
        colour = _COLOURS[index % len(_COLOURS)]
        parts.append(f'<circle cx="{_x(a)}" cy="{_y(b)}" r="5" fill="{colour}"/>')
        parts.append(_legend(index, name, colour))
    return "\n".join([*parts, "</svg>", ""])


def thinned(points: Points, most: int = 200) -> Points:
    """At most so many of them, evenly, the last one kept."""
    if len(points) <= most:
        return points
    step = len(points) / most
    return [*(points[int(index * step)] for index in range(most)), points[-1]]


def _legend(index: int, name: str, colour: str) -> str:
    y = _TOP + _SIDE + 58 + 18 * index
    return (
        f'<rect x="{_LEFT}" y="{y - 9}" width="14" height="8" fill="{colour}"/>'
        f'<text x="{_LEFT + 22}" y="{y}">{escape(name)}</text>'
    )
