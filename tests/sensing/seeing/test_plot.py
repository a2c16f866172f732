"""The picture of a defect's evidence."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from sensing.seeing.plot import Bar, Evidence, drawn

MONDAY = date(2026, 11, 16)


def days_in(weeks: int) -> list[str]:
    """The days written below the bars of so many weeks."""
    evidence = Evidence(
        hits=9,
        passes=14,
        belief=0.99,
        severity=4.1,
        error_m=1.0,
        heading_deg=0.0,
        is_present=True,
        bars=[Bar(MONDAY + timedelta(weeks=week), 5, 3) for week in range(weeks)],
    )
    return re.findall(r">(\d+ \w+ 20\d\d)</text>", drawn(evidence, "en"))


@pytest.mark.parametrize("weeks", [1, 2, 6])
def test_few_weeks_are_dated_once(weeks: int) -> None:
    assert days_in(weeks) == ["16 Nov 2026"]


def test_many_weeks_are_dated_at_both_ends() -> None:
    assert days_in(7) == ["16 Nov 2026", "28 Dec 2026"]
