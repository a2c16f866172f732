"""How far forecasts of closing hold on a city's past: causally, with the arithmetic of production.

Each week is forecast from the cases that were opened before it, and of those only the closings that
had happened by then. A case that the file leaves open is compared as far as it was followed: both
its duration and what was foreseen are cut off there, so that a forecast is never blamed for what
nobody saw.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from reports.case_files import PastCase
from reports.forecast.foreseeing import (
    FEWEST_CASES,
    FEWEST_CLOSED,
    FEWEST_IN_A_CELL,
    TRUST_IN_CITY,
    TRUST_IN_SERVICE,
)
from reports.forecast.survival import Curve, Tally, curve_of, stretch_of

#: The first month is only learnt from.
LEARNT_FIRST = timedelta(days=31)

STEP = timedelta(days=7)

SHARES = (0.1, 0.5, 0.8, 0.9)

#: Hours for each share; None: never.
Quantiles = Sequence[float | None]

#: From cases seen until an instant, the forecast of a case; None where nothing is said.
Way = Callable[[Sequence[PastCase], datetime], Callable[[PastCase], Quantiles | None]]


@dataclass(frozen=True, slots=True)
class Held:
    """How far the forecasts of a month held.

    Attributes:
        inside, below, above: shares of cases in the 80 % interval, quicker, slower.
        by_median, by_most: shares done within the median and within the "4 of 5".
        pinball: mean loss of each quantile, in hours (Koenker and Bassett, Econometrica 46, 1978).
    """

    cases: int
    inside: float
    below: float
    above: float
    by_median: float
    by_most: float
    pinball: Sequence[float]

    @property
    def coverage_interval(self) -> tuple[float, float]:
        """Of `inside`, 95 % by the normal approximation: months have thousands of cases."""
        half = 1.96 * math.sqrt(self.inside * (1 - self.inside) / self.cases)
        return self.inside - half, self.inside + half


def ways(area: str | None) -> Mapping[str, Way]:
    """What is compared: the forecast, and the simple things that one might do instead."""
    found: dict[str, Way] = {
        "quantiles of closed cases, by type": closed_only,
        "forecast": partial(foreseen, area=None),
    }
    if area:
        found[f"forecast, by {area} too"] = partial(foreseen, area=area)
    return found


def foreseen(
    cases: Sequence[PastCase], now: datetime, *, area: str | None
) -> Callable[[PastCase], Quantiles | None]:
    """The way of production: each type leans on the city, each area of it on the type."""
    types: defaultdict[str, Tally] = defaultdict(Tally)
    local: defaultdict[tuple[str, str], Tally] = defaultdict(Tally)
    for case in cases:
        hours, is_closed = _seen(case, now)
        types[case.type].add(stretch_of(hours), is_closed=is_closed)
        if area and (name := dict(case.areas).get(area)):
            local[case.type, name].add(stretch_of(hours), is_closed=is_closed)
    city = curve_of(Tally().add_all(types.values()))
    curves: dict[tuple[str, str], Curve] = {
        (kind, ""): curve_of(tally, city, TRUST_IN_CITY)
        for kind, tally in types.items()
        if tally.cases >= FEWEST_CASES and tally.closings >= FEWEST_CLOSED
    }
    for (kind, name), tally in local.items():
        if (kind, "") in curves and tally.cases >= FEWEST_IN_A_CELL:
            curves[kind, name] = curve_of(tally, curves[kind, ""], TRUST_IN_SERVICE)
    quantiles = {key: [curve.within(share) for share in SHARES] for key, curve in curves.items()}

    def forecast(case: PastCase) -> Quantiles | None:
        name = dict(case.areas).get(area, "") if area else ""
        found = quantiles.get((case.type, name)) or quantiles.get((case.type, ""))
        return found if found and found[1] is not None else None

    return forecast


def closed_only(cases: Sequence[PastCase], now: datetime) -> Callable[[PastCase], Quantiles | None]:
    """A baseline that looks at closed cases alone, type by type."""
    by_type: defaultdict[str, list[float]] = defaultdict(list)
    for case in cases:
        hours, is_closed = _seen(case, now)
        if is_closed:
            by_type[case.type].append(hours)
    quantiles = {
        kind: [sorted(hours)[min(int(len(hours) * share), len(hours) - 1)] for share in SHARES]
        for kind, hours in by_type.items()
        if len(hours) >= FEWEST_CLOSED
    }
    return lambda case: quantiles.get(case.type)


def by_month(cases: Sequence[PastCase], way: Way) -> Iterator[tuple[str, Held]]:
    """Each month's cases against what was foreseen, where every way has something to say."""
    ordered = sorted(cases, key=lambda case: case.opened_at)
    if not ordered:
        return
    end = max(case.closed_at or case.opened_at for case in ordered)
    judged: defaultdict[str, list[tuple[float, Sequence[float]]]] = defaultdict(list)
    week = ordered[0].opened_at + LEARNT_FIRST
    while week <= end:
        before = [case for case in ordered if case.opened_at < week]
        forecasts = [way(before, week), foreseen(before, week, area=None)]
        baseline = closed_only(before, week)
        for case in ordered:
            if not week <= case.opened_at < week + STEP:
                continue
            found, usual = forecasts[0](case), forecasts[1](case)
            if found is None or usual is None or baseline(case) is None:
                continue
            followed = _hours(end - case.opened_at)
            lasted, _ = _seen(case, end)
            said = [followed if each is None else min(each, followed) for each in found]
            judged[f"{case.opened_at:%Y-%m}"].append((lasted, said))
        week += STEP
    for month, pairs in sorted(judged.items()):
        yield month, _held(pairs)


def _held(pairs: Sequence[tuple[float, Sequence[float]]]) -> Held:
    count = len(pairs)

    def share(is_so: Callable[[float, Sequence[float]], bool]) -> float:
        return sum(is_so(lasted, said) for lasted, said in pairs) / count

    return Held(
        cases=count,
        inside=share(lambda lasted, said: said[0] <= lasted <= said[3]),
        below=share(lambda lasted, said: lasted < said[0]),
        above=share(lambda lasted, said: lasted > said[3]),
        by_median=share(lambda lasted, said: lasted <= said[1]),
        by_most=share(lambda lasted, said: lasted <= said[2]),
        pinball=[
            sum(_loss(part, said[at], lasted) for lasted, said in pairs) / count
            for at, part in enumerate(SHARES)
        ],
    )


def _loss(share: float, said: float, lasted: float) -> float:
    return share * (lasted - said) if lasted >= said else (1 - share) * (said - lasted)


def _seen(case: PastCase, now: datetime) -> tuple[float, bool]:
    """How many hours a case had lasted at an instant, and whether it was closed by then."""
    is_closed = case.closed_at is not None and case.closed_at <= now
    until = case.closed_at if is_closed and case.closed_at is not None else now
    return max(_hours(until - case.opened_at), 0.0), is_closed


def _hours(duration: timedelta) -> float:
    return duration.total_seconds() / 3600
