"""Layer coefficients: what adds up to ε, and what does not grow with width."""

import math

import pytest
import torch

from holdfast.analysis.safety_coefficient import (
    coefficient,
    layer_coefficients,
    profile,
    root_mean_square,
)
from holdfast.ops.gradients import ascent_step

EPS = {
    "model.embed_tokens.weight": torch.full((2, 2), -1.0),
    "model.layers.2.self_attn.q_proj.weight": torch.full((4, 2), 0.5),
    "model.layers.10.self_attn.q_proj.weight": torch.full((8, 2), 0.5),
    "model.layers.10.mlp.up_proj.weight": torch.tensor([[-3.0, 4.0]]),
}


def test_coefficients_are_sums_of_magnitudes_per_layer_in_order():
    assert coefficient(EPS) == {-1: 4.0, 2: 4.0, 10: 15.0}
    assert list(coefficient(EPS)) == [-1, 2, 10]


def test_coefficients_sum_to_the_l1_norm():
    generator = torch.Generator().manual_seed(0)
    eps = {n: torch.randn(t.shape, generator=generator) for n, t in EPS.items()}
    l1 = sum(float(t.abs().sum()) for t in eps.values())
    assert math.isclose(sum(coefficient(eps).values()), l1, rel_tol=1e-6)


def test_root_mean_square_does_not_grow_with_width():
    by_role = root_mean_square(EPS, by="role")
    assert by_role["q"] == pytest.approx(0.5)
    assert by_role["up"] == pytest.approx(12.5**0.5)
    assert list(root_mean_square(EPS, by="layer")) == ["-1", "2", "10"]


def test_a_profile_is_that_of_the_normalized_step():
    step = ascent_step(EPS, 0.3, floor=0.0)
    found = profile(EPS, 0.3)
    assert found.layers == pytest.approx(root_mean_square(step, by="layer"))
    assert found.roles == pytest.approx(root_mean_square(step, by="role"))
    assert set(profile({"x": torch.zeros(2)}, 1.0).layers.values()) == {0.0}


def test_the_spread_is_over_the_batches():
    other = {n: t.clone() for n, t in EPS.items()}
    other["model.layers.2.self_attn.q_proj.weight"] = torch.full((4, 2), 4.0)
    profiles = [profile(EPS, 1.0), profile(other, 1.0)]
    found = layer_coefficients(EPS, profiles)
    assert found["batches"] == 2
    row = next(r for r in found["layers"] if r["layer"] == 2)
    values = [p.layers["2"] for p in profiles]
    assert row["coefficient"] == 4.0
    assert row["rms"] == pytest.approx(0.5)
    assert row["rms_mean"] == pytest.approx(sum(values) / 2)
    assert row["rms_std"] == pytest.approx(abs(values[0] - values[1]) / 2)
    assert {r["role"] for r in found["roles"]} == {"q", "up", "other"}
