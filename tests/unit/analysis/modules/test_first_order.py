"""Squared norms are those of each prompt's own gradient; the estimate is of noise."""

import pytest
import torch

from holdfast.analysis.modules.first_order import first_order, squared_gradients
from holdfast.analysis.modules.perturbation import noise, pooled
from tests.unit.analysis.tiny_analysis import SPLIT, probed, prompts, refs_of

DRAWS = 200


def explicit(found):
    """Sum over harmful prompts of the squared norm of autograd's own gradient, one at a time."""
    model, probe = found.suffix.model, found.probe
    sums = dict.fromkeys(found.modules, 0.0)
    weights = [m.weight.requires_grad_(True) for m in found.modules.values()]
    for ids in prompts().harmful:
        seen = []
        handle = found.suffix.layers[-1].register_forward_hook(
            lambda _m, _i, out: seen.append(out[0] if isinstance(out, tuple) else out)  # noqa: B023
        )
        model(torch.tensor([ids]), use_cache=False)
        handle.remove()
        logit = probe.logits(seen[0][:, -1].float())[0]
        for ref, g in zip(found.modules, torch.autograd.grad(logit, weights), strict=True):
            sums[ref] += float(g.double().square().sum())
    return sums


@pytest.mark.parametrize("arch", SPLIT)
@pytest.mark.parametrize("adapter", [False, True])
def test_per_prompt_gradients(arch, adapter):
    found = probed(arch, adapter=adapter)
    ours = squared_gradients(found)
    for ref, value in explicit(found).items():
        assert ours[ref] == pytest.approx(value, rel=1e-4), ref.name


def test_per_prompt_gradients_are_those_of_double_precision():
    found = probed(dtype=torch.float64)
    ours = squared_gradients(found)
    assert ours == pytest.approx(explicit(found), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_close(dtype):
    whole, low = squared_gradients(probed()), squared_gradients(probed(dtype=dtype))
    # Another probe is trained on the rounded states; only the order of size can agree.
    ratios = [low[r] / whole[r] for r in whole]
    assert all(0.3 < ratio < 3 for ratio in ratios)


def test_the_estimate_is_the_root_mean_square_over_noise():
    found, rho = probed(), 1e-3
    estimate, change = first_order(found, rho), noise(found.modules, rho)
    for ref in refs_of(found, (0, "v"), (0, "down"), (1, "o"), (1, "gate")):
        draws = [found.damage(change, [ref], seed) for seed in range(DRAWS)]
        # The square is spread like a chi square of DRAWS or more degrees: 10 % is one sigma twice.
        assert pooled(draws, "logit") == pytest.approx(estimate[ref], rel=0.15), ref.name


def test_rho_scales_every_estimate():
    found = probed()
    one, three = first_order(found, 1.0), first_order(found, 3.0)
    assert all(three[r] == pytest.approx(3 * one[r], rel=1e-6) for r in one)


def test_batches_do_not_matter():
    by = [squared_gradients(probed(batch_size=size)) for size in (1, 7, 64)]
    assert all(b == pytest.approx(by[0], rel=1e-3) for b in by)


def test_it_runs_where_gradients_are_off():
    found = probed()
    with torch.no_grad():
        assert squared_gradients(found) == squared_gradients(found)
