"""A trend over depth whose unit is the layer: what chance alone is called a trend."""

import numpy as np
import pytest

from holdfast.analysis import layer_trend as under_test
from holdfast.analysis.layer_trend import FEWEST_LAYERS, layer_trend
from holdfast.analysis.patterns import depth
from tests.unit.analysis.test_patterns import a_map, falling

MODULES, MODELS = 7, 150


def trendless(layers, within, rng):
    """``[layers, modules]``: what a layer has in common, a type in common, and each for itself."""
    shared = rng.normal(size=(layers, 1)) + rng.normal(size=(1, MODULES))
    return np.exp(shared + within * rng.normal(size=(layers, MODULES)))


@pytest.mark.parametrize("layers", [FEWEST_LAYERS, 8, 16])
@pytest.mark.parametrize("within", [0.1, 1.0])
def test_a_model_without_a_trend_has_none(monkeypatch, layers, within):
    """Fault F7: a verdict was given in 14 to 42 % of models without a trend."""
    monkeypatch.setattr(under_test, "RESAMPLES", 1000)
    rng = np.random.default_rng(layers)
    at = np.repeat(np.arange(layers), MODULES)
    found = [layer_trend(at, trendless(layers, within, rng).ravel()) for _ in range(MODELS)]
    verdicts = sum(one.low > 0 or one.high < 0 for one in found)
    assert verdicts <= 0.07 * MODELS


def test_modules_by_themselves_would_find_one_in_many(monkeypatch):
    """The old interval, planted: each module a layer of its own kind."""
    monkeypatch.setattr(under_test, "RESAMPLES", 200)
    rng, told = np.random.default_rng(0), 0
    layers = 8
    for _ in range(40):
        table = trendless(layers, 0.1, rng)
        # A depth that differs within a layer by next to nothing makes every module a cluster.
        at = np.arange(layers)[:, None] + 1e-6 * np.arange(MODULES)
        found = layer_trend(list(at.ravel()), table.ravel())
        told += found.low > 0 or found.high < 0
    assert told > 0.2 * 40


def test_a_trend_is_found_with_few_modules_in_a_layer():
    layers = list(range(12))
    found = layer_trend(layers, [1.0 / (1 + n) for n in layers])
    assert found.value == pytest.approx(-1)
    assert found.high < 0
    rising = layer_trend(layers, [float(n) for n in layers])
    assert rising.low > 0


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_fewer_than_five_layers_tell_nothing(layers):
    """Fault F7: four layers were told to fall, which they do by chance once in 24 models."""
    found = depth(a_map(falling, layers=layers))
    assert found.verdict == "cannot be told"
    assert f"{layers} layers" in found.figure
    assert "it takes 5" in found.figure
    assert depth(a_map(falling, layers=5)).verdict == "holds here"
