"""bench/contests.py: how far a contest's curve lies from its warm-up's, by cases that can be told by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest


def points(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"temperature": 1.0 + k, "x": x, "y": y} for k, (x, y) in enumerate(pairs)]


def test_a_gap_is_taken_at_the_same_quality_and_only_where_both_curves_are(bench: Any) -> None:
    base = points((3.0, 30.0), (1.0, 10.0), (2.0, 20.0))  # y = 10 x, in no order
    assert bench.gap(base, base, "x", "y") == pytest.approx(0)
    assert bench.gap(points((1.5, 16.0), (2.5, 27.0)), base, "x", "y") == pytest.approx(1.5)  # 1 and 2 above
    assert bench.gap(points((2.5, 24.0), (9.0, 0.0)), base, "x", "y") == pytest.approx(-1)  # the second is out of sight
    assert bench.gap(points((0.5, 1.0)), base, "x", "y") is None


def test_an_interval_is_students(bench: Any) -> None:
    mean, half = bench.interval([1.0, 2.0, 3.0])
    assert mean == 2 and half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)  # t of 2 degrees of freedom, deviation 1
    assert bench.interval([5.0])[0] == 5 and math.isnan(bench.interval([5.0])[1])


def test_bands_are_means_and_deviations_over_seeds(bench: Any) -> None:
    (point,) = bench.banded([points((1.0, 3.0)), points((2.0, 5.0))])
    assert (point["x"], point["y"], point["y_spread"]) == (1.5, 4.0, pytest.approx(math.sqrt(2)))
    assert bench.banded([points((1.0, 3.0))])[0]["x_spread"] == 0
