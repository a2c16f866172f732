"""Whether what is waited for is foreseen, and whether it is the event that was told already. Pure.

A forecast is somebody's best guess at this hour, and the next one differs. So an event is a span of
time that moves: whatever is foreseen close to one that is known is that one (`same_event`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from assets.weather.vocabulary import SUMS, Measure, Severity
from core.text import fold
from geo.measures import Point

HOUR = timedelta(hours=1)

#: Of the hours that are looked at, so many may lack a value; else nothing is believed.
MOST_UNKNOWN = 0.25

#: A pause so long does not end an event; nor does a forecast that moves by so much.
GAP = timedelta(hours=12)

#: A cold spell of three weeks is news more than once: what begins so long after the beginning of an
#: event is another one.
EVENT_AT_MOST = timedelta(hours=48)

#: The sort of event that alerts are.
ALERT = "alert"

#: Beginnings of the words, folded, by which those who alert call what forecasts measure.
_CALLED: Mapping[str, Sequence[str]] = {
    "snowfall": ("snow", "neige", "blizzard", "winter storm", "winter weather"),
    "rain": ("rain", "pluie", "flood", "inondation"),
    "cold": ("cold", "froid", "freez", "frost", "gelee"),
    "heat": ("heat", "chaleur", "canicule"),
    "wind": ("wind", "vent", "gale", "tempete"),
    "gust": ("wind", "vent", "gale", "tempete", "gust", "rafale"),
}

#: An alert without an end is believed for so long (CAP leaves `expires` optional).
ALERT_LASTS = timedelta(hours=24)

#: The clocks of two servers may be so far apart.
CLOCK_SLACK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of a forecast, by what it measures; what is unknown is left out.

    Attributes:
        at: the end of the hour that sums are of, and the instant that the others are of.
    """

    at: datetime
    values: Mapping[Measure, float]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is foreseen at one place, hour by hour, in order of time."""

    hours: Sequence[Hour]

    def ahead(self, now: datetime, within_h: int) -> Sequence[Hour] | None:
        """The hours from now on; None: it is old, or does not reach so far."""
        until = now + timedelta(hours=within_h)
        if not self.hours or self.hours[0].at > now + HOUR or self.hours[-1].at < until - HOUR:
            return None
        return [hour for hour in self.hours if now < hour.at <= until]


@dataclass(frozen=True, slots=True)
class Awaited:
    """What of a forecast sets a campaign off: every one of these, within so many hours."""

    thresholds: Mapping[Measure, float]
    within_h: int = 24

    @property
    def sort(self) -> str:
        """What kind of event it is: campaigns that await the same share it."""
        return "+".join(sorted(measure.value.rpartition("_")[0] for measure in self.thresholds))


@dataclass(frozen=True, slots=True)
class AwaitedAlert:
    """What alerts set a campaign off.

    Attributes:
        events: words, one of which the alert's event must contain; empty: any event.
        severity: and nothing milder.
    """

    events: Sequence[str]
    severity: Severity = Severity.MODERATE

    @property
    def sort(self) -> str:
        """As of `Awaited`."""
        return ALERT


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What was awaited is foreseen.

    Attributes:
        values: of each measure the sum or the extreme.
        identifiers: of alerts: this one's and those that it refers to.
        event: in the words of whoever alerts.
    """

    starts_at: datetime
    ends_at: datetime
    values: Mapping[Measure, float] = field(default_factory=dict)
    identifiers: frozenset[str] = frozenset()
    event: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """An event that is known."""

    id: int
    starts_at: datetime
    ends_at: datetime
    identifiers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AlertArea:
    """Where an alert holds: any of these."""

    polygons: Sequence[Sequence[Point]] = ()
    #: Centre and radius in metres.
    circles: Sequence[tuple[Point, float]] = ()
    #: `name:value`, as `EMMA_ID:FR034` or `SAME:025025`.
    geocodes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AlertInfo:
    """What an alert says, in one language or for one place."""

    event: str
    severity: Severity
    starts_at: datetime | None
    expires_at: datetime | None
    is_all_clear: bool = False
    area: AlertArea = AlertArea()


@dataclass(frozen=True, slots=True)
class Alert:
    """One CAP message.

    Attributes:
        kind: its `msgType`.
        references: identifiers of the messages that it follows.
    """

    identifier: str
    kind: str
    status: str
    scope: str
    sent_at: datetime
    references: frozenset[str] = frozenset()
    infos: Sequence[AlertInfo] = ()


def foreseen(forecast: Forecast, awaited: Awaited, now: datetime) -> Foreseen | None:
    """What is awaited, if it is foreseen; None too where too little is known."""
    hours = forecast.ahead(now, awaited.within_h)
    if hours is None or not awaited.thresholds:
        return None
    values: dict[Measure, float] = {}
    when: list[datetime] = []
    for measure, threshold in awaited.thresholds.items():
        known = [(hour.at, hour.values[measure]) for hour in hours if measure in hour.values]
        if len(known) < awaited.within_h * (1 - MOST_UNKNOWN):
            return None
        found = _held(measure, threshold, known)
        if found is None:
            return None
        values[measure] = found[0]
        when += found[1]
    return Foreseen(min(when) - HOUR, max(when), values)


def _held(
    measure: Measure, threshold: float, known: Sequence[tuple[datetime, float]]
) -> tuple[float, list[datetime]] | None:
    """The sum or extreme, and the hours that it comes from; None: it does not reach."""
    if measure in SUMS:
        total = sum(value for _, value in known)
        hours = [at for at, value in known if value > 0]
        return (total, hours) if total >= threshold and hours else None
    sign = -1 if measure is Measure.COLD_C else 1
    hours = [at for at, value in known if sign * value >= sign * threshold]
    if not hours:
        return None
    return sign * max(sign * value for _, value in known), hours


def in_force(alerts: Iterable[Alert], now: datetime) -> list[Alert]:
    """The alerts that hold: meant for the public, in earnest, neither followed by another one nor
    of a time to come."""
    real = [
        alert
        for alert in alerts
        if alert.status == "Actual" and alert.scope == "Public"
        if alert.sent_at <= now + CLOCK_SLACK
    ]
    followed = {name for alert in real for name in alert.references}
    return [
        alert
        for alert in real
        if alert.kind in ("Alert", "Update") and alert.identifier not in followed
    ]


def cancelled(alerts: Iterable[Alert], now: datetime) -> frozenset[str]:
    """Identifiers of alerts that are taken back: by a cancellation, or by an all clear."""
    names: set[str] = set()
    for alert in alerts:
        if alert.status != "Actual" or alert.sent_at > now + CLOCK_SLACK:
            continue
        is_over = alert.kind == "Update" and bool(alert.infos)
        is_over = is_over and all(info.is_all_clear for info in alert.infos)
        if alert.kind == "Cancel" or is_over:
            names |= alert.references | {alert.identifier}
    return frozenset(names)


def alerted(
    alert: Alert, infos: Sequence[AlertInfo], awaited: AwaitedAlert, now: datetime
) -> Foreseen | None:
    """What an alert in force means for a campaign.

    Args:
        infos: those of its parts that hold in the city.
    """
    for info in infos:
        ends_at = info.expires_at or alert.sent_at + ALERT_LASTS
        if info.is_all_clear or ends_at <= now or info.severity.rank < awaited.severity.rank:
            continue
        event = fold(info.event)
        if awaited.events and not any(fold(word) in event for word in awaited.events):
            continue
        starts_at = min(info.starts_at or alert.sent_at, ends_at)
        return Foreseen(
            starts_at,
            ends_at,
            identifiers=alert.references | {alert.identifier},
            event=info.event,
        )
    return None


def is_same_weather(sort: str, event: str, other_sort: str, other_event: str) -> bool:
    """Whether a forecast and an alert are about the same thing, by what the alert calls it.

    Args:
        event: the alert's word for it; empty of forecasts.
    """
    if (sort == ALERT) == (other_sort == ALERT):
        return False
    measured, called = (other_sort, event) if sort == ALERT else (sort, other_event)
    text = " " + re.sub(r"[^a-z0-9]+", " ", fold(called))
    return any(f" {name}" in text for part in measured.split("+") for name in _CALLED[part])


def same_event(known: Collection[Told], found: Foreseen) -> Told | None:
    """The event that this is, if it is known: the same chain of alerts, or close in time."""
    for event in sorted(known, key=lambda event: event.starts_at, reverse=True):
        if event.identifiers & found.identifiers:
            return event
        is_close = found.starts_at <= event.ends_at + GAP and found.ends_at >= event.starts_at - GAP
        if is_close and found.starts_at < event.starts_at + EVENT_AT_MOST:
            return event
    return None
