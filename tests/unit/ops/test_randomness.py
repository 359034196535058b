"""Seeded draws that nobody else notices."""

import random

import numpy as np
import pytest
import torch

from holdfast.ops.randomness import derived_seed, isolated_rng


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002, S311


def seed_all():
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)


def test_the_outer_stream_goes_on_as_if_nothing_had_been_drawn():
    seed_all()
    expected = [draws(), draws()]
    seed_all()
    first = draws()
    with isolated_rng(9):
        inside = draws()
    assert [first, draws()] == expected
    with isolated_rng(9):
        assert draws() == inside
    with isolated_rng(10):
        assert draws() != inside


def test_the_outer_stream_goes_on_after_an_exception():
    seed_all()
    expected = draws()
    seed_all()
    with pytest.raises(ZeroDivisionError), isolated_rng(9):
        _ = draws()[0] / 0
    assert draws() == expected


def test_derived_seeds_depend_on_every_part_and_fit():
    seeds = {derived_seed(a, b) for a in range(20) for b in ("x", "y", "before")}
    assert len(seeds) == 60
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert derived_seed(1, "x") == derived_seed(1, "x")
    assert derived_seed(1, 23) != derived_seed(12, 3)
