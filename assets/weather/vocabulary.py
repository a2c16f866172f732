"""The words of weather: what is measured, how severe an alert is, where it was heard. Pure."""

from __future__ import annotations

import enum


class Measure(enum.StrEnum):
    """What a forecast is held against; the unit stands in the name."""

    #: Fresh snow, summed up over the hours that are looked at.
    SNOWFALL_CM = "snowfall_cm"
    RAIN_MM = "rain_mm"
    #: The coldest, the hottest hour.
    COLD_C = "cold_c"
    HEAT_C = "heat_c"
    #: Mean wind, and gusts, of the windiest hour.
    WIND_KMH = "wind_kmh"
    GUST_KMH = "gust_kmh"


#: Measures that are summed up, rather than held against each hour.
SUMS = frozenset({Measure.SNOWFALL_CM, Measure.RAIN_MM})


class Severity(enum.StrEnum):
    """CAP 1.2, 3.2.2, the mildest first."""

    UNKNOWN = "Unknown"
    MINOR = "Minor"
    MODERATE = "Moderate"
    SEVERE = "Severe"
    EXTREME = "Extreme"

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return list(Severity).index(self)


class Source(enum.StrEnum):
    """Who was asked."""

    FORECAST = "forecast"
    ALERTS = "alerts"
