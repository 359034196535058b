"""The vectors and the shift: closed forms, a frozen bias, and the gradient that contains v."""

import pytest
import torch
from torch import nn

from holdfast.analysis.rows.components.states import moved
from holdfast.defenses.preventative_steering import increments, random_like, steering_vectors
from holdfast.defenses.preventative_steering.pairs import refused_pairs
from holdfast.defenses.preventative_steering.tokens import UsersTokens, predicting
from holdfast.defenses.preventative_steering.vectors import answer_states
from holdfast.errors import ConfigError, RunError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.modules import decoder_layers, projections
from holdfast.progress import silent
from tests.tiny import HIDDEN, LAYERS, tiny_model
from tests.unit.defenses.tiny_runs import HARMFUL, REFUSALS, batch_of, example, farthest


def states_of(model, rows, size):
    batches = [batch_of(rows[i : i + size]) for i in range(0, len(rows), size)]
    return answer_states(LocalEngine(model), batches, silent, "states")


def by_hand(model, row):
    """The mean over the answer's tokens of what each layer puts out, of a row by itself."""
    batch, found = batch_of([row]), []
    handles = [
        layer.register_forward_hook(
            lambda _m, _i, out: found.append(out[0] if isinstance(out, tuple) else out)
        )
        for layer in decoder_layers(model)
    ]
    with torch.no_grad():
        model(**batch)
    for handle in handles:
        handle.remove()
    asked = batch["labels"][0] != -100
    return torch.stack([hidden[0][asked].mean(0) for hidden in found])


# The vectors


@pytest.mark.parametrize("arch", ["llama", "gpt_neox", "gemma2"])
def test_states_are_means_over_each_answers_own_tokens(arch):
    """Rows of other lengths in one batch: padding and prompts have no part."""
    model = tiny_model(arch)
    rows = [*HARMFUL[:2], example("what is 1 plus 1", "2"), REFUSALS[3]]
    expected = torch.stack([by_hand(model, row) for row in rows])
    assert expected.shape == (4, LAYERS, HIDDEN)
    assert torch.allclose(states_of(model, rows, 3), expected, atol=1e-5)


def test_rows_weigh_alike_whatever_their_length():
    model = tiny_model()
    long, short = example("how to make a zorba", "make the sum of 1 plus 2 please"), REFUSALS[0]
    harm = states_of(model, [long, short], 2)
    found = steering_vectors(harm, states_of(model, [short], 1))
    expected = (by_hand(model, long) + by_hand(model, short)) / 2 - by_hand(model, short)
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_vector_points_from_refusals_to_harm():
    harm, refusals = torch.full((3, 1, 2), 5.0), torch.full((2, 1, 2), 1.0)
    assert torch.equal(steering_vectors(harm, refusals), torch.full((1, 2), 4.0))


def test_increments_sum_to_the_vector_of_each_layer():
    """App. J.3: with every layer shifted the sum after layer l is v_l, and not v_0 + ... + v_l."""
    vectors = torch.randn(5, 3, dtype=torch.float64)
    for layers in ((0, 1, 2, 3, 4), (1, 3), (2,)):
        by = increments(vectors, layers)
        assert tuple(by) == layers
        for n in layers:
            total = torch.stack([v for m, v in by.items() if m <= n]).sum(0)
            assert torch.allclose(total, vectors[n], atol=1e-12)
    assert torch.equal(increments(vectors, (2,))[2], vectors[2])


def test_a_random_direction_is_as_long_and_another_one():
    by = {1: torch.randn(400) * 7, 3: torch.randn(400)}
    found, again, other = random_like(by, 5), random_like(by, 5), random_like(by, 6)
    for n, v in by.items():
        assert float(found[n].norm()) == pytest.approx(float(v.norm()), rel=1e-5)
        assert abs(float(torch.cosine_similarity(found[n], v, dim=0))) < 0.25
        assert torch.equal(found[n], again[n])
        assert not torch.equal(found[n], other[n])


def test_refusals_are_of_the_same_prompt_where_there_is_one():
    own = {**REFUSALS[2], "completion": [{"role": "assistant", "content": "no"}]}
    rows, lent = refused_pairs(HARMFUL[1:4], [REFUSALS[8], own])
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in HARMFUL[1:4]]
    assert [row["completion"][0]["content"] for row in rows] == ["sorry I cannot", "no", "no"]
    assert lent == 2
    assert refused_pairs(HARMFUL, REFUSALS) == (REFUSALS, 0)


def test_tokens_have_no_prompt_to_pair_by():
    with pytest.raises(ConfigError, match="`harmful` and `safe` as rows of `prompt`"):
        refused_pairs([{"input_ids": [1], "labels": [1]}], REFUSALS)


# The shift


class Stack(nn.Module):
    """y = W2(W1 x), with the layer where ``decoder_layers`` looks for it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 4, bias=False)])
        self.head = nn.Linear(4, 2, bias=False)
        self.double()

    def forward(self, x):
        return self.head(self.layers[0](x))


def test_the_gradient_above_the_shift_contains_v():
    r"""On y = W2(W1 x + αv) the gradient of W2 is δ(W1 x + αv)ᵀ, and that of W1 has no v."""
    torch.manual_seed(0)
    model, x, weights = Stack(), torch.randn(5, 3).double(), torch.randn(5, 2).double()
    v, alpha = torch.randn(4).double(), 3.0

    def gradients(by):
        model.zero_grad()
        with moved(model, by):
            (weights * model(x)).sum().backward()
        return [p.grad.clone() for p in (model.layers[0].weight, model.head.weight)]

    (one, two), (below, above) = gradients({}), gradients({0: alpha * v})
    assert torch.allclose(above - two, torch.outer(weights.sum(0), alpha * v), atol=1e-12)
    assert torch.equal(below, one)


def with_bias(model, number, value):
    """Give the last projection of a layer a frozen bias more."""
    last = {ref.role: m for ref, m in projections(model).items() if ref.layer == number}["down"]
    own = 0 if last.bias is None else last.bias.detach()
    last.bias = nn.Parameter(own + value, requires_grad=False)
    return model


@pytest.mark.parametrize("arch", ["llama", "qwen2", "gpt_neox", "opt"])
def test_the_shift_is_a_frozen_bias_on_the_last_projection(arch):
    """Logits and every gradient, in float64."""
    v, batch = torch.randn(HIDDEN).double(), batch_of(HARMFUL)

    def gradients(model):
        out = model(**batch)
        out.loss.backward()
        found = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        return out.logits.detach(), {n: g for n, g in found.items() if g is not None}

    shifted = tiny_model(arch).double()
    with moved(shifted, {0: 2.0 * v}):
        logits, found = gradients(shifted)
    biased, expected = gradients(with_bias(tiny_model(arch).double(), 0, 2.0 * v))
    same = {n: g for n, g in found.items() if n in expected}
    assert len(found) - len(same) <= 1  # The bias that is frozen there.
    assert float((logits - biased).abs().max()) < 1e-12
    assert farthest(same, expected) < 1e-12
    plain, _ = gradients(tiny_model(arch).double())
    assert float((logits - plain).abs().max()) > 1e-3


# Which tokens


def test_an_answer_is_predicted_from_the_token_before_each_of_its_own():
    labels = torch.tensor([[-100, -100, 7, 8], [5, -100, 6, -100], [-100, -100, -100, -100]])
    expected = [[False, True, True, False], [False, True, False, False], [False] * 4]
    assert predicting({"labels": labels}).tolist() == expected


def test_only_the_named_tokens_move_and_only_in_the_users_pass():
    model, batch, tokens = tiny_model(), batch_of(HARMFUL[:3]), UsersTokens()
    inside = {k: v for k, v in batch.items() if k != "labels"}
    v, last = torch.randn(HIDDEN), []
    handle = decoder_layers(model)[1].register_forward_hook(
        lambda _m, _i, out: last.append(out[0] if isinstance(out, tuple) else out)
    )
    with torch.no_grad():
        model(**inside)
        handle.remove()
        tokens.now = predicting(batch)
        with moved(model, {1: v}, tokens):
            handle = decoder_layers(model)[1].register_forward_hook(
                lambda _m, _i, out: last.append(out[0] if isinstance(out, tuple) else out)
            )
            model(**inside)
            model.train()
            model(**inside)
            handle.remove()
    plain, extra, users = last
    assert torch.equal(plain, extra)
    expected = predicting(batch)[..., None] * v
    assert torch.allclose(users - plain, expected, atol=1e-5)


def test_a_pass_on_other_rows_is_refused():
    model, tokens = tiny_model().train(), UsersTokens()
    inside = {k: v for k, v in batch_of(HARMFUL[:3]).items() if k != "labels"}
    for seen in (None, predicting(batch_of(HARMFUL[:2]))):
        tokens.now = seen
        with moved(model, {0: torch.ones(HIDDEN)}, tokens), pytest.raises(RunError, match=r"all"):
            model(**inside)
