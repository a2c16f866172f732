"""What people read of a defect that phones felt, in French and in English. Pure.

Everything says that it is an estimate, and by how many trips: whoever reads it decides whether to
believe it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from babel.dates import format_date
from babel.numbers import format_decimal

#: Day 0 of the counts of days.
_EPOCH = date(1970, 1, 1)

_OCTANTS: Mapping[str, tuple[str, ...]] = {
    "fr": (
        "vers le nord", "vers le nord-est", "vers l’est", "vers le sud-est",
        "vers le sud", "vers le sud-ouest", "vers l’ouest", "vers le nord-ouest",
    ),
    "en": (
        "northwards", "north-eastwards", "eastwards", "south-eastwards",
        "southwards", "south-westwards", "westwards", "north-westwards",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Felt:
    """The figures of a defect.

    Attributes:
        error_m: standard error of its position along one axis.
        first_day, last_day: of a hit, days since 1970-01-01 UTC.
    """

    hits: int
    passes: int
    belief: float
    severity: float
    error_m: float
    heading_deg: float
    first_day: int
    last_day: int


def language_for(locale: str) -> str:
    """The language of ours that is nearest to a city's own."""
    return "fr" if locale.split("-")[0].lower() == "fr" else "en"


def day_of(day: int) -> date:
    """The date of a count of days since 1970-01-01."""
    return _EPOCH + timedelta(days=day)


def heading(language: str, heading_deg: float) -> str:
    """Which way the cars drove."""
    return _OCTANTS[language][round(heading_deg / 45.0) % 8]


def within_m(error_m: float) -> int:
    """So near the place is, nineteen times of twenty: two standard errors, in whole metres."""
    return max(1, round(2.0 * error_m))


def description(language: str, felt: Felt) -> str:
    """What a request says that was opened by what phones felt."""
    first, last = _day(language, felt.first_day), _day(language, felt.last_day)
    trips = _trips(language, felt)
    severity = _number(language, felt.severity)
    if language == "fr":
        when = f"le {last}" if first == last else f"entre le {first} et le {last}"
        return (
            f"Ressenti par des téléphones en voiture : {trips} une secousse, {when}, en roulant"
            f" {heading(language, felt.heading_deg)}. Position à {within_m(felt.error_m)} m près."
            f" Gravité {severity} sur 10, vraisemblance {_percent(felt.belief)} %. C’est une"
            " estimation faite par des capteurs : personne n’est encore venu voir."
        )
    when = f"on {last}" if first == last else f"between {first} and {last}"
    return (
        f"Felt by phones in cars: {trips} a bump here, {when}, driving"
        f" {heading(language, felt.heading_deg)}. Position within {within_m(felt.error_m)} m."
        f" Severity {severity} of 10, likelihood {_percent(felt.belief)}%. This is an estimate made"
        " by sensors: nobody has come to look yet."
    )


def evidence_note(language: str, felt: Felt, link: str) -> str:
    """What the team of a request is told of trips that felt the same."""
    trips, severity = _trips(language, felt), _number(language, felt.severity)
    if language == "fr":
        return (
            f"Les téléphones en voiture le sentent aussi : {trips} une secousse (gravité"
            f" {severity} sur 10, position à {within_m(felt.error_m)} m près). Détail : {link}"
        )
    return (
        f"Phones in cars feel it too: {trips} a bump here (severity {severity} of 10, position"
        f" within {within_m(felt.error_m)} m). Details: {link}"
    )


def plot_note(language: str, link: str) -> str:
    """Where the team finds the evidence behind a request that sensors opened."""
    if language == "fr":
        return f"Les mesures, semaine par semaine : {link}"
    return f"What was measured, week by week: {link}"


def felt_again(language: str, felt: int, passes: int) -> str:
    """Why a request is open again; for everybody."""
    if language == "fr":
        return (
            f"Depuis la réparation, {felt} trajets sur {passes} sentent encore une secousse au même"
            " endroit : la demande est rouverte. C’est une estimation faite par des capteurs."
        )
    return (
        f"Since the repair, {felt} of {passes} trips still feel a bump at the same place: the"
        " request is open again. This is an estimate made by sensors."
    )


def confirmed(language: str, felt: int, passes: int) -> str:
    """What the team is told of a repair that holds."""
    if language == "fr":
        said = "aucun n’a plus rien senti" if felt == 0 else f"{felt} seulement ont senti"
        return f"Réparation confirmée par le silence : sur {passes} trajets depuis, {said}."
    said = "none felt anything" if felt == 0 else f"only {felt} felt anything"
    return f"Repair confirmed by silence: of {passes} trips since, {said}."


def _trips(language: str, felt: Felt) -> str:
    if language == "fr":
        return f"{felt.hits} trajets sur {felt.passes} ont senti"
    return f"{felt.hits} of {felt.passes} trips felt"


def _day(language: str, day: int) -> str:
    return format_date(day_of(day), "d MMMM y", locale=_babel(language))


def _number(language: str, value: float) -> str:
    return format_decimal(round(value, 1), format="0.0", locale=_babel(language))


def _percent(belief: float) -> int:
    # Never a hundred: nobody is that sure.
    return min(99, round(belief * 100))


def _babel(language: str) -> str:
    return {"fr": "fr_FR", "en": "en_GB"}[language]
