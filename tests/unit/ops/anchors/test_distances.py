"""Distances of logits: what they ignore, closed forms, bounds of a top k."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from holdfast.ops.anchors.distances import (
    DISTANCES,
    Distance,
    distance,
    kl_divergence,
    squared_distance,
)
from holdfast.ops.anchors.references import Reference, masses

N, V = 4, 9
KL: tuple[Distance, ...] = ("kl", "reverse_kl")


def drawn(seed, scale=2.0):
    return scale * torch.randn(N, V, generator=torch.Generator().manual_seed(seed))


def of_top(reference, k, temperature=1.0):
    kept, tokens = reference.topk(k, dim=-1)
    return Reference(kept, tokens, masses(reference, tokens, temperature)[:, -1])


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("k", [V, 3])
def test_a_constant_per_position_is_no_distance(kind, k):
    now, start = drawn(0), drawn(1)
    reference = Reference(start) if k == V else of_top(start, k)
    moved = now + torch.tensor([5.0, -3.0, 0.5, 7.0])[:, None]
    apart = distance(moved, reference, kind), distance(now, reference, kind)
    assert float(apart[0]) == pytest.approx(float(apart[1]), rel=1e-5)
    assert float(apart[1]) > 0.1


def test_the_squared_distance_is_the_mean_over_tokens_and_vocabulary_of_centered_differences():
    d = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 6.0]])
    assert float(squared_distance(d, torch.zeros(2, 3))) == pytest.approx((1 + 0 + 1 + 24) / 6)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_kl_is_the_textbooks_in_each_direction(temperature):
    now, start = drawn(0), drawn(1)
    p0, p = ((z.double() / temperature).softmax(-1) for z in (start, now))
    wanted = {
        "kl": (p0 * (p0 / p).log()).sum() / N,
        "reverse_kl": (p * (p / p0).log()).sum() / N,
    }
    for kind in KL:
        found = distance(now, Reference(start), kind, temperature)
        assert float(found) == pytest.approx(float(wanted[kind]), rel=1e-5)
    assert float(kl_divergence(start, now)) != pytest.approx(float(kl_divergence(now, start)))


def test_the_gradient_of_kl_is_the_difference_of_distributions():
    now, start = drawn(0).requires_grad_(), drawn(1)
    distance(now, Reference(start), "kl", 2.0).backward()
    assert now.grad is not None
    wanted = ((now / 2).softmax(-1) - (start / 2).softmax(-1)) / (2 * N)
    assert torch.allclose(now.grad, wanted, atol=1e-7)


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("k", [V, 3])
def test_at_the_start_distance_and_gradient_are_zero(kind, k):
    now = drawn(1).requires_grad_()
    reference = Reference(drawn(1)) if k == V else of_top(drawn(1), k)
    apart = distance(now, reference, kind)
    apart.backward()
    assert now.grad is not None
    if kind == "l2":  # Exactly: nothing is summed up to 1 there.
        assert float(apart.detach()) == 0
        assert not now.grad.any()
    assert abs(float(apart.detach())) < 1e-6
    assert float(now.grad.abs().max()) < 1e-7


@pytest.mark.parametrize("kind", DISTANCES)
def test_a_top_k_is_a_lower_bound_that_rises_to_the_distance(kind):
    now, start = drawn(0), drawn(1)
    whole = float(distance(now, Reference(start), kind, 1.5))
    found = [float(distance(now, of_top(start, k, 1.5), kind, 1.5)) for k in range(1, V)]
    assert found == sorted(found)
    assert found[0] < whole
    assert found[-1] <= whole * (1 + 1e-6)
    if kind != "l2":  # One outcome left over is itself.
        assert found[-1] == pytest.approx(whole, rel=1e-5)


def test_the_rest_has_the_mass_of_all_others():
    z = drawn(0)
    _, tokens = z.topk(3, dim=-1)
    p, joined = (z / 2).softmax(-1), masses(z, tokens, 2.0).softmax(-1)
    assert torch.allclose(joined[:, :3], p.gather(-1, tokens))
    assert torch.allclose(joined[:, 3], 1 - p.gather(-1, tokens).sum(-1), atol=1e-6)


def test_half_precision_is_compared_in_float32():
    now, start = drawn(0).bfloat16(), drawn(1).bfloat16()
    for kind in DISTANCES:
        found = distance(now, Reference(start), kind)
        assert found.dtype == torch.float32
        assert found.equal(distance(now.float(), Reference(start.float()), kind))


def test_no_answer_token_is_no_distance():
    nothing = torch.zeros(0, V)
    assert [float(distance(nothing, Reference(nothing), kind)) for kind in DISTANCES] == [0, 0, 0]


def test_the_mean_is_over_tokens_so_parts_weigh_by_their_share():
    now, start = drawn(0), drawn(1)
    for kind in DISTANCES:
        parts = [
            share * distance(now[s], Reference(start[s]), kind)
            for s, share in ((slice(0, 1), 0.25), (slice(1, 4), 0.75))
        ]
        assert float(sum(parts)) == pytest.approx(float(distance(now, Reference(start), kind)))


def test_cross_entropy_and_kl_differ_by_the_starts_entropy():
    now, start = drawn(0), drawn(1)
    p0 = start.softmax(-1)
    entropy = -(p0 * p0.log()).sum(-1).mean()
    found = distance(now, Reference(start), "kl") + entropy
    assert float(found) == pytest.approx(float(F.cross_entropy(now, p0)), rel=1e-5)
