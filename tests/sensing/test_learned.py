"""The learned detector: plain numbers, a fixed second of each clip, and a record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensing import evaluation, learned, training, windows
from sensing.learned import WeightsError
from sensing.training import Clip


def made_up(count: int = 24, seed: int = 0) -> list[Clip]:
    """Clips of three kinds that a child could tell apart."""
    drawn = np.random.default_rng(seed)
    clips = []
    for each in range(count):
        label = ("potholes", "regular_road", "asphalt_bumps")[each % 3]
        values = 9.8 + 0.2 * drawn.normal(size=int(drawn.integers(60, 300)))
        middle = len(values) // 2
        if label == "potholes":
            values[middle : middle + 4] -= 6.0
        elif label == "asphalt_bumps":
            values[middle - 12 : middle + 13] += 3.0 * np.hanning(25)
        clips.append(Clip(f"{label}-{each}", values, label))
    return clips


def test_clips_are_told_apart_by_what_was_learnt() -> None:
    fitted = training.fit_windows(made_up())
    judged = made_up(seed=1)
    told = training.clip_probabilities(fitted, judged).argmax(axis=1)
    right = [fitted.classes[place] == clip.label for place, clip in zip(told, judged, strict=True)]
    assert np.mean(right) > 0.9


def test_a_constant_added_before_and_after_a_clip_changes_nothing() -> None:
    """The length of a clip tells its label in the data set: nothing may see it."""
    event = made_up(3)[0].values
    short = windows.crop(event)
    long = windows.crop(np.concatenate([np.full(200, event[0]), event, np.full(333, event[-1])]))
    assert np.allclose(short, long)
    assert len(short) == windows.WIDTH


@given(count=st.integers(1, 300), shift=st.sampled_from(training.SHIFTS))
def test_every_clip_becomes_one_second(count: int, shift: int) -> None:
    cut = windows.crop(np.linspace(9.0, 10.0, count), shift)
    assert cut.shape == (windows.WIDTH,)
    assert np.isfinite(windows.features(cut[None])).all()


def test_clips_shorter_than_a_second_are_mirrored_not_drawn_out() -> None:
    clip = np.sin(np.arange(30) * 0.9) + 9.8
    assert windows.crop(clip).std() == pytest.approx(clip.std(), rel=0.15)


def test_gravity_is_no_feature() -> None:
    cut = windows.crop(made_up(3)[0].values)[None]
    assert np.allclose(windows.features(cut), windows.features(cut + 3.0), atol=1e-6)


def test_weights_are_read_as_they_were_written(tmp_path: Path) -> None:
    fitted = training.fit_windows(made_up())
    weights = learned.Weights("7", learned.PeakWeights(-8.0, 4.0, 5.2), fitted, {"clips": 24})
    training.written(weights, tmp_path / "w.json")
    again = learned.read(tmp_path / "w.json")
    cut = np.stack([windows.crop(clip.values) for clip in made_up(seed=2)])
    assert again.version == "7"
    assert again.record == {"clips": 24}
    assert np.allclose(again.windows.probabilities(cut), fitted.probabilities(cut), atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"windows": {"features": ["another"]}},
        {"peaks": None},
    ],
)
def test_weights_of_another_make_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    told = json.loads(learned.WEIGHTS.read_text(encoding="utf-8"))
    path = tmp_path / "w.json"
    path.write_text(json.dumps({**told, **change}), encoding="utf-8")
    with pytest.raises(WeightsError):
        learned.read(path)


def test_what_ships_says_what_it_was_learnt_from() -> None:
    record = learned.in_force().record
    assert {"trained_at", "trips", "clips", "one_trip_left_out", "clips_five_folds"} <= set(record)


def test_the_detector_needs_no_library_of_machine_learning() -> None:
    script = (
        "import sys; import sensing.signal, sensing.clustering, sensing.learned as it;"
        "it.in_force();"
        "print([name for name in ('sklearn', 'flask', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.strip() == "[]"


def test_values_of_trips_need_no_numpy() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import sys; import sensing.traces; print('numpy' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.strip() == "False"


def test_a_detection_and_a_label_are_paired_once() -> None:
    found = evaluation.matched(np.array([1.0, 1.2, 9.0]), np.array([1.1, 5.0]), 1.0)
    assert found == evaluation.Counted(matched=1, detected=3, labelled=2)
    assert evaluation.f1([found]) == pytest.approx(0.4)


def test_the_area_under_the_curve_is_that_of_pairs() -> None:
    scores = np.array([0.1, 0.4, 0.4, 0.9])
    is_true = np.array([False, True, False, True])
    assert evaluation.area_under_curve(scores, is_true) == pytest.approx((0.5 + 3) / 4)
