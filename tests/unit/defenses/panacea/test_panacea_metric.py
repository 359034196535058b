"""Panacea in the Fisher metric and in several steps: off by default, and then not in a result."""

import pytest

from holdfast import Panacea, apply_panacea
from holdfast.errors import ConfigError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.fisher import mean_squared_gradients, natural_step
from holdfast.ops.gradients import ascent_step, global_norm
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import BENIGN, HARMFUL, batch_of, farthest, lora, weights_of


def eps_of(model, **options):
    options = {"rho": 0.3, "batch_size": 10, "scales": (0.0, 1.0), "max_task_drop": 1.0, **options}
    return apply_panacea(model, HARMFUL, tiny_tokenizer(), **options).tensors["perturbation"]


def test_the_papers_step_names_nothing_of_ours():
    assert not {"metric", "damping", "steps"} & Panacea(rho=0.5).config().keys()
    found = Panacea(metric="fisher", damping=0.1, steps=2).config()
    assert (found["metric"], found["damping"], found["steps"]) == ("fisher", 0.1, 2)


def test_it_is_the_step_in_the_metric_of_the_validation_rows():
    model = lora(tiny_model())
    engine = LocalEngine(model)
    fisher = mean_squared_gradients(engine, [batch_of(BENIGN)])
    gradient, _ = engine.gradients([batch_of(HARMFUL)])
    wanted = natural_step(gradient, fisher, 0.01, 0.3)
    found = eps_of(model, metric="fisher", validation=BENIGN)
    assert farthest(found, wanted) < 1e-6
    assert farthest(found, ascent_step(gradient, 0.3)) > 1e-3
    assert global_norm(found) == pytest.approx(0.3, rel=1e-4)


def test_with_large_damping_it_is_the_papers():
    plain = eps_of(lora(tiny_model()))
    found = eps_of(lora(tiny_model()), metric="fisher", damping=1e10, validation=BENIGN)
    assert farthest(found, plain) < 1e-6


def test_two_steps_are_linearized_anew():
    model = lora(tiny_model())
    engine, before = LocalEngine(model), weights_of(model)
    first = ascent_step(engine.gradients([batch_of(HARMFUL)])[0], 0.15)
    with engine.shifted(first):
        second = ascent_step(engine.gradients([batch_of(HARMFUL)])[0], 0.15)
    found = eps_of(model, steps=2)
    assert farthest(found, {n: first[n] + second[n] for n in first}) < 1e-6
    moved = {n: w - before[n] for n, w in weights_of(model).items()}
    assert farthest(moved, found) < 1e-6


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"metric": "l2"}, "metric='l2'"),
        ({"damping": 0}, "damping=0"),
        ({"damping": -1}, "damping=-1"),
        ({"steps": 0}, "steps=0"),
        ({"steps": 2, "mode": "in-loop"}, "mode='post-hoc'"),
        ({"metric": "fisher"}, "validation"),
    ],
)
def test_what_cannot_be_meant_is_refused(bad, said):
    with pytest.raises(ConfigError, match=said):
        Panacea(harmful=HARMFUL, **bad).validate()
