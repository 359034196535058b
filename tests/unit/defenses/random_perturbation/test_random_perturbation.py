"""The control: noise of an exact norm, the same for the same seed."""

import math

import pytest
import torch

from holdfast import RandomPerturbation, repair
from holdfast.defenses.random_perturbation import random_direction
from holdfast.errors import ConfigError, ConflictError
from holdfast.ops.gradients import global_norm
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import farthest, lora, trained, weights_of


def perturbed(seed=0, rho=2.0, run_seed=0, model=None):
    model = tiny_model() if model is None else model
    before = weights_of(model)
    artifact = repair(RandomPerturbation(rho=rho, seed=seed), model, tiny_tokenizer(), run_seed)
    return {n: w - before[n] for n, w in weights_of(model).items()}, artifact


@pytest.mark.parametrize("rho", [0.01, 2.0, 30.0])
def test_the_noise_has_the_norm_and_is_what_is_added(rho):
    added, artifact = perturbed(rho=rho)
    noise = artifact.tensors["perturbation"]
    assert math.isclose(global_norm(noise), rho, rel_tol=1e-5)
    assert math.isclose(artifact.report["norm"], rho, rel_tol=1e-5)
    assert farthest(added, noise) < 1e-6 * max(1.0, rho)


def test_it_is_gaussian():
    drawn = random_direction({"w": torch.empty(1000, 100)}, 1.0, 0)["w"] * 1e5**0.5
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.01)
    assert float((drawn**4).mean()) == pytest.approx(3.0, abs=0.1)


def test_seeds_decide_and_nothing_else_does():
    torch.manual_seed(5)
    one, _ = perturbed()
    torch.manual_seed(6)
    again, _ = perturbed()
    assert farthest(one, again) == 0
    assert farthest(one, perturbed(seed=1)[0]) > 0
    state = torch.get_rng_state()
    perturbed()
    assert torch.equal(torch.get_rng_state(), state)


def test_only_an_adapter_is_perturbed_where_there_is_one():
    model = lora(tiny_model())
    base = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_" not in n}
    perturbed(model=model)
    after = {n: p.detach() for n, p in model.named_parameters() if "lora_" not in n}
    assert farthest(base, after) == 0


def test_in_a_trainer_it_comes_after_plain_training(tmp_path):
    plain = weights_of(trained(tmp_path).model)
    trainer = trained(tmp_path, [RandomPerturbation(rho=1.0)])
    noise = trainer.artifacts[0].tensors["perturbation"]
    added = {n: w - plain[n] for n, w in weights_of(trainer.model).items()}
    assert farthest(added, noise) < 1e-6


def test_norm_zero_changes_nothing():
    added, artifact = perturbed(rho=0.0)
    assert all(not t.any() for t in added.values())
    assert artifact.report["norm"] == 0


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="rho"):
        RandomPerturbation(rho=-1).validate()
    with pytest.raises(ConflictError, match="float32"):
        perturbed(model=tiny_model().bfloat16())
