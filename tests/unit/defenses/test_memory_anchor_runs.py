"""Memory anchors in whole runs: each method is descent on its objective, written out by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor

from holdfast import MemoryAnchor, SecurityVectors
from holdfast.defenses.memory_anchor.rows import memory_rows
from holdfast.ops.modules import trainable
from holdfast.ops.randomness import derived_seed
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    REFUSALS,
    USER,
    batch_of,
    farthest,
    lora,
    trained,
    weights_of,
)

RATE, STEPS, SIZE, STRENGTH = 0.05, 4, 4, 3.0
SGD: dict[str, Any] = {"optim": "sgd", "learning_rate": RATE, "max_grad_norm": 0.0}
WEIGHTS: dict[str, dict[str, float]] = {
    "replay": {"beta": 0.4}, "der": {"alpha": 20.0}, "der++": {"alpha": 20.0, "beta": 0.4},
    "ldifs": {"lam": 30.0}, "ewc": {"lam": 0.05}, "l2-sp": {"lam": 1.0},
}  # fmt: skip


def memory() -> list[Any]:
    """The memory's batches of a run of seed 1: ten refusals, four by four."""
    rows = memory_rows(REFUSALS, None, None, 0.0, derived_seed(1, "memory_anchor"))
    return [batch_of(rows[i : i + SIZE]) for i in range(0, len(rows), SIZE)]


def said(model: Any, batch: Any) -> Tensor:
    """Logits at the answer tokens."""
    return model(**batch).logits[:, :-1][batch["labels"][:, 1:] != -100]


def last_layer(model: Any, batch: Any) -> Tensor:
    """What the last layer gives where an answer token is predicted; the tiny model has two."""
    found: list[Tensor] = []
    with model.model.layers[-1].register_forward_hook(lambda _m, _i, out: found.append(out)):
        model(**batch)
    return found[0][:, :-1][batch["labels"][:, 1:] != -100]


def fisher(model: Any) -> list[Tensor]:
    """Mean over the refusals of the square of each one's gradient, summed over its tokens."""
    params = list(trainable(model).values())
    total = [torch.zeros_like(p) for p in params]
    for row in REFUSALS:
        batch = batch_of([row])
        loss = model(**batch).loss * (batch["labels"][:, 1:] != -100).sum()
        for t, g in zip(total, torch.autograd.grad(loss, params), strict=True):
            t.add_(g.square() / len(REFUSALS))
    return total


def term(method: str, model: Any, start: Any, number: int, matters: list[Tensor]) -> Tensor:
    """The method's term at the weights of now, as its equation has it."""
    weights, user = WEIGHTS[method], batch_of(USER)
    batch = memory()[number % 3]
    if method == "ldifs":
        apart = last_layer(model, user) - last_layer(start, user).detach()
        return weights["lam"] * apart.square().mean()
    if method in ("ewc", "l2-sp"):
        params = zip(trainable(model).values(), trainable(start).values(), matters, strict=True)
        parts = [(f * (w - o.detach()) ** 2).sum() for w, o, f in params]
        return weights["lam"] / 2 * torch.stack(parts).sum()
    total = weights.get("beta", 0.0) * model(**batch).loss
    if "alpha" in weights:
        d = said(model, batch) - said(start, batch).detach()
        total = total + weights["alpha"] * (d - d.mean(-1, keepdim=True)).square().mean()
    return total


def by_hand(method: str, strength: float) -> Any:
    """Gradient descent on f + strength · term."""
    model, start = tiny_model().eval(), tiny_model().eval()
    params = list(trainable(model).values())
    matters = fisher(start) if method == "ewc" else [torch.ones_like(p) for p in params]
    for number in range(STEPS):
        extra = strength * term(method, model, start, number, matters)
        grads = torch.autograd.grad(model(**batch_of(USER)).loss + extra, params)
        with torch.no_grad():
            for p, g in zip(params, grads, strict=True):
                p.sub_(RATE * g)
    return weights_of(model)


@pytest.mark.parametrize("method", list(WEIGHTS))
def test_a_run_is_descent_on_the_methods_objective(tmp_path, method):
    """Every row of the user's in each update; the memory's batches come round."""
    defense = MemoryAnchor(
        safe=REFUSALS, method=method, batch_size=SIZE, strength=STRENGTH, **WEIGHTS[method]
    )
    run = trained(tmp_path, [defense], max_steps=STEPS, per_device_train_batch_size=8, **SGD)
    wanted = by_hand(method, STRENGTH)
    assert farthest(weights_of(run.model), wanted) < 2e-6
    assert farthest(by_hand(method, 0.0), wanted) > 1e-4


@pytest.mark.parametrize("distance", ["kl", "reverse_kl"])
def test_all_tokens_but_one_and_the_rest_are_all_at_any_temperature(tmp_path, distance):
    """The rest is then one token, so a top k of V − 1 is exact."""
    found = [
        weights_of(
            trained(
                tmp_path,
                [
                    MemoryAnchor(
                        safe=REFUSALS, distance=distance, temperature=3.0, alpha=100.0, top_k=k
                    )
                ],
                **SGD,
            ).model
        )
        for k in (0, tiny_model().config.vocab_size - 1)
    ]
    assert farthest(*found) < 1e-6


@pytest.mark.parametrize("method", ["der", "l2-sp"])
def test_beside_an_attached_vector_the_served_model_is_held(tmp_path, method):
    """A merged vector is in the weights, and in what they say, from the first step on."""
    vectors = SecurityVectors(
        harmful=HARMFUL, benign=BENIGN, attach="merged", epochs=3, rank=2, lr=1e-2,
        max_harmful_nll=1e9, max_benign_kl=1e9,
    )  # fmt: skip
    anchor = MemoryAnchor(safe=REFUSALS, method=method)
    model = lora(tiny_model()) if method == "der" else tiny_model()
    history = trained(tmp_path, [vectors, anchor], model=model).state.log_history
    terms = [row["memory_anchor/term"] for row in history if "loss" in row]
    assert terms[0] < 1e-12  # Taking a vector out of the weights rounds.
    assert terms[-1] > 1e-9
