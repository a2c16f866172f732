"""The Golden Car: the index of known profiles, and what a phone can say of it."""

from __future__ import annotations

import numpy as np
import pytest

from sensing import roughness, simulation
from sensing.arrays import Series
from tests.sensing.roads import northwards, trip_over

STEP_M = 0.05


def test_a_level_road_has_no_roughness_and_neither_has_a_slope() -> None:
    level = np.zeros(4000)
    slope: Series = np.arange(4000.0) * STEP_M * 0.08
    assert roughness.international_roughness_index(level, STEP_M) == pytest.approx(0.0, abs=1e-9)
    assert roughness.international_roughness_index(slope, STEP_M) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("wavelength_m", [1.5, 2.4, 5.0, 10.0, 15.4, 30.0])
def test_waves_are_passed_on_as_theory_says(wavelength_m: float) -> None:
    x = np.arange(0.0, 1500.0, STEP_M)
    slope = 0.01
    heights = slope * wavelength_m / (2 * np.pi) * np.sin(2 * np.pi * x / wavelength_m)
    index = roughness.international_roughness_index(heights, STEP_M)
    # The mean of a rectified sine is 2/π of it; the tyre averages 25 cm of the profile.
    tyre = np.sinc(roughness.TYRE_CONTACT_M / wavelength_m)
    expected = 1000 * slope * 2 / np.pi * roughness.gain(wavelength_m) * tyre
    assert index == pytest.approx(expected, rel=0.02)


def test_the_gain_has_the_two_peaks_of_the_standard() -> None:
    # Sayers and Karamihas, The Little Book of Profiling, 1998, figure 38: about 1.65 at 2.4 m and
    # 1.5 at 15 m, 1 at most between.
    assert roughness.gain(2.4) == pytest.approx(1.65, abs=0.05)
    assert roughness.gain(15.4) == pytest.approx(1.5, abs=0.06)
    assert roughness.gain(100.0) < 0.1
    assert roughness.gain(0.3) < 0.1


def test_the_index_grows_with_the_profile() -> None:
    heights = random_road(16e-6, 1)
    once = roughness.international_roughness_index(heights, STEP_M)
    assert roughness.international_roughness_index(3 * heights, STEP_M) == pytest.approx(3 * once)


@pytest.mark.parametrize(("step_m", "heights"), [(0.0, 100), (-1.0, 100), (0.1, 20)])
def test_a_profile_that_is_none_is_refused(step_m: float, heights: int) -> None:
    with pytest.raises(ValueError, match="11 m"):
        roughness.international_roughness_index(np.zeros(heights), step_m)


def test_the_index_of_an_acceleration_is_that_of_random_roads() -> None:
    ratios = []
    for seed, severity in enumerate((16e-6, 64e-6, 256e-6)):
        heights = random_road(severity, seed)
        index = roughness.international_roughness_index(heights, STEP_M)
        speed = roughness.REFERENCE_SPEED_MS
        x = np.arange(0.0, 1900.0, speed / simulation.STEP_HZ)
        distances = np.arange(len(heights)) * STEP_M
        front, rear = (
            np.interp(x + ahead, distances, heights) for ahead in (simulation.WHEELBASE_M, 0.0)
        )
        between = 0.5 * (front + rear)
        felt = simulation.body_acceleration(between - between[0], simulation.Car())
        ratios.append(index / felt[1000:].std())
    assert np.mean(ratios) == pytest.approx(roughness.INDEX_BY_ACCELERATION, rel=0.05)


def test_a_rougher_street_is_estimated_rougher() -> None:
    def estimated(roughness_mm: float) -> float:
        drawn = np.random.default_rng(1)
        trip = simulation.drive(
            northwards(),
            [],
            car=simulation.Car(speed_ms=12.0),
            phone=simulation.random_phone(drawn, rate_hz=50.0),
            start_s=1.7e9,
            drawn=drawn,
            roughness_mm=roughness_mm,
        )
        return float(np.median([each.index_m_km for each in roughness.estimates(trip)]))

    assert estimated(1.0) < estimated(3.0) < estimated(8.0)


def test_nothing_is_estimated_where_it_cannot_be_known() -> None:
    assert roughness.estimates(trip_over([], rate_hz=5.0)) == []


def test_segments_are_a_hundred_metres_and_say_how_wrong_they_may_be() -> None:
    segments = roughness.estimates(trip_over([], seed=1))
    assert 6 <= len(segments) <= 10
    for each in segments:
        assert roughness.FEWEST_M <= each.length_m <= roughness.SEGMENT_M + 5
        assert each.error_m_km >= 0.3 * each.index_m_km


def random_road(severity: float, seed: int) -> Series:
    """Two kilometres of a road of ISO 8608: severity in m³ at 0.1 cycles per metre."""
    count = round(2000 / STEP_M)
    waves = np.fft.rfftfreq(count, STEP_M)
    waves[0] = np.inf
    power = severity * (waves / 0.1) ** -2.0
    power[waves < 0.01] = 0.0
    drawn = np.random.default_rng(seed)
    phases = drawn.normal(size=len(waves)) + 1j * drawn.normal(size=len(waves))
    heights: Series = np.fft.irfft(phases * np.sqrt(power * count / STEP_M) / 2, count)
    return heights
