"""SafeGrad: the added vector, the angle that decides it, zero start, accumulation and refusals."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from holdfast import SafeGrad, SecurityVectors
from holdfast.defenses.safe_grad import operated
from holdfast.errors import ConfigError, ConflictError, DivergedError
from holdfast.ops.agreement import answer_logits
from holdfast.ops.engine import LocalEngine
from holdfast.ops.gradients import global_norm, inner_product
from holdfast.ops.modules import trainable
from holdfast.ops.randomness import gaussian
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    REFUSALS,
    batch_of,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

SGD: dict[str, Any] = {"optim": "sgd", "max_grad_norm": 0.0, "learning_rate": 0.1}


def safe_grad(**options: Any) -> SafeGrad:
    return SafeGrad(**{"safe": REFUSALS, "batch_size": 5, **options})


def vector(*numbers: float) -> dict[str, Tensor]:
    """A vector of two tensors: all numbers but the last, and the last."""
    found = torch.tensor(numbers, dtype=torch.float32)
    return {"a": found[:-1], "b": found[-1:]}


def result(user: Any, anchor: Any, rho: float, *, surgery: bool = True) -> Any:
    """g' + ρ g_a by the coefficient of ``operated``."""
    dot, lengths = inner_product(user, anchor), (global_norm(user), global_norm(anchor))
    found = operated(dot, *lengths, rho, surgery=surgery)
    return {name: user[name] + found.coefficient * anchor[name] for name in user}


# --- the equation ----------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0, 3.0])
def test_the_papers_picture_in_two_dimensions(rho):
    """g_u = (−1, 1) and g_a = (1, 0) give (ρ, 1)."""
    assert farthest(result(vector(-1, 1), vector(1, 0), rho), vector(rho, 1)) < 1e-7


def by_the_equations(user: Any, anchor: Any, rho: float) -> Any:
    """Equations 3 to 5 as they stand, on one flat vector in float64."""
    u, a = (torch.cat([t.double() for t in v.values()]) for v in (user, anchor))
    after = u - (u @ a) / (a @ a) * a if u @ a < 0 else u
    found = (after + rho * a).float()
    return {"a": found[:-1], "b": found[-1:]}


@pytest.mark.parametrize("seed", range(8))
def test_it_is_equations_3_to_5_with_one_dot_product_over_all_tensors(seed):
    rng = torch.Generator().manual_seed(seed)
    user, anchor = (vector(*torch.randn(40, generator=rng).tolist()) for _ in range(2))
    for rho in (0.0, 0.7):
        assert farthest(result(user, anchor, rho), by_the_equations(user, anchor, rho)) < 1e-6
    opposed = inner_product(user, anchor) < 0
    left = result(user, anchor, 0.0)
    size = global_norm(user) * global_norm(anchor)
    if opposed:
        assert abs(inner_product(left, anchor)) < 1e-6 * size
        assert global_norm(left) < global_norm(user)
        removed = {name: user[name] - left[name] for name in user}
        assert global_norm(removed) <= global_norm(user) * (1 + 1e-6)
    else:
        assert farthest(left, user) == 0


def test_both_kinds_of_angle_were_drawn():
    angles = []
    for seed in range(8):
        rng = torch.Generator().manual_seed(seed)
        user, anchor = (vector(*torch.randn(40, generator=rng).tolist()) for _ in range(2))
        angles.append(inner_product(user, anchor) < 0)
    assert 2 <= sum(angles) <= 6


def test_conflicts_in_single_tensors_that_cancel_are_no_conflict():
    user, anchor = vector(-1, 2), vector(1, 1)
    assert farthest(result(user, anchor, 0.0), user) == 0


def test_without_surgery_the_safety_gradient_is_added_alone():
    assert farthest(result(vector(-1, 1), vector(1, 0), 0.5, surgery=False), vector(-0.5, 1)) == 0


def test_a_safety_gradient_that_is_rounding_decides_nothing():
    """At the start it is; without this the quotient is as large as it likes."""
    noise = operated(-1e-7, 1.0, 1e-7, 0.5, surgery=True)
    assert (noise.coefficient, noise.skipped, noise.conflict) == (0.5, True, False)
    seen = operated(-1e-5, 1.0, 1e-5, 0.5, surgery=True)
    assert (seen.skipped, seen.conflict) == (False, True)
    assert seen.coefficient == pytest.approx(0.5 + 1e5)
    for user, anchor in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        assert operated(0.0, user, anchor, 0.5, surgery=True)[:2] == (0.5, False)


def test_the_dot_product_is_over_all_tensors_and_keeps_its_digits():
    left, right = vector(1, 2, 3), vector(4, 5, 6)
    assert inner_product(left, right) == 32
    assert inner_product({"a": left["a"]}, right) == 14  # What one side lacks counts as zeros.
    many = {"a": torch.full((100_000,), 0.1)}
    assert inner_product(many, many) == pytest.approx(1000.0, rel=1e-6)
    coarse = {"a": torch.tensor([1.0078125], dtype=torch.bfloat16)}  # Its square has more digits.
    assert inner_product(coarse, coarse) == 1.0078125**2


# --- the run ---------------------------------------------------------------------------------


def start(adapted: bool, **options: Any) -> Any:
    return lora(tiny_model(), **options) if adapted else tiny_model()


def logits_at(model: Any, batch: Any) -> Tensor:
    asked = batch["labels"][:, 1:] != -100
    return model(**batch).logits[:, :-1][asked]


def by_hand(model: Any, users: list[Any], rho: float, strength: float, rate: float) -> Any:
    """Gradient descent with equations 3 to 6 on flat vectors; all refusals in turn, five each."""
    params = list(trainable(model).values())
    memory = [batch_of(REFUSALS[:5]), batch_of(REFUSALS[5:])]
    began = [logits_at(model, batch).detach().log_softmax(-1) for batch in memory]
    conflicts = 0
    for number, user in enumerate(users):
        u = torch.autograd.grad(model(**user).loss, params)
        now = logits_at(model, memory[number % 2]).log_softmax(-1)
        then = began[number % 2]
        kl = (then.exp() * (then - now)).sum(-1).mean()
        a = torch.autograd.grad(kl, params)
        dot = sum(float((x.double() * y.double()).sum()) for x, y in zip(u, a, strict=True))
        square = sum(float((y.double() ** 2).sum()) for y in a)
        factor = rho
        if dot < 0 and number > 0:  # At the start the safety gradient is rounding.
            factor, conflicts = rho - dot / square, conflicts + 1
        with torch.no_grad():
            for p, x, y in zip(params, u, a, strict=True):
                p.sub_(rate * (x + strength * factor * y))
    return weights_of(model), conflicts


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize(("rho", "strength"), [(1.0, 1.0), (0.0, 1.0), (3.0, 0.5)])
def test_a_run_is_the_equations(tmp_path, adapted, rho, strength):
    options = {"rho": rho, "strength": strength}
    trainer = trainer_of(
        tmp_path, [safe_grad(**options)], model=start(adapted), max_steps=6, **SGD
    )  # fmt: skip
    users, own = [], trainer.training_step

    def watching(model: Any, inputs: Any, *args: Any) -> Any:
        users.append(dict(inputs))
        return own(model, inputs, *args)

    trainer.training_step = watching
    trainer.train()
    expected, conflicts = by_hand(start(adapted), users, rho, strength, 0.1)
    assert farthest(weights_of(trainer.model), expected) < 1e-6
    assert trainer.defenses[0].counts_ == {"updates": 6, "conflicts": conflicts, "noise": 1}


def in_grad(adapted: bool, model: Any, tmp_path: Any, **options: Any) -> Any:
    """What lies in ``.grad`` before and after one call of the hook, on a model that has moved."""
    defense, engine = safe_grad(**options), LocalEngine(model)
    own = trainer_of(tmp_path, model=model)._holdfast_run()
    run: Any = SimpleNamespace(
        batches=own.batches, progress=own.progress, bare=own.bare, engine=engine, seed=0
    )
    defense.before(run)
    with torch.no_grad():
        for p in trainable(model).values():
            p.add_(0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    before: dict[str, Tensor] = {}

    def backward() -> Tensor:
        loss = model(**batch_of(HARMFUL)).loss
        (-10 * loss).backward()  # Away from what it says: some direction that conflicts or not.
        before.update({n: p.grad.clone() for n, p in trainable(model).items()})  # type: ignore[union-attr]
        return loss.detach()

    step: Any = SimpleNamespace(run=run, engine=engine, model=model, number=0, last=True)
    defense.gradient(step, backward)
    after = {n: p.grad for n, p in trainable(model).items()}
    del adapted
    return defense, before, after


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_after_surgery_alone_the_gradient_is_orthogonal_to_the_anchors(tmp_path, adapted):
    model = start(adapted)
    defense, before, after = in_grad(adapted, model, tmp_path, rho=0.0)
    memory = batch_of(REFUSALS[:5])
    origin = start(adapted)
    then, now = (logits_at(m, memory).log_softmax(-1) for m in (origin, model))
    kl = (then.detach().exp() * (then.detach() - now)).sum(-1).mean()
    params = trainable(model)
    anchor = dict(zip(params, torch.autograd.grad(kl, list(params.values())), strict=True))
    size = global_norm(before) * global_norm(anchor)
    assert float(kl.detach()) == pytest.approx(defense.figures_["distance"], abs=1e-6)
    assert defense.figures_["cosine"] == pytest.approx(
        inner_product(before, anchor) / size, abs=1e-5
    )
    if defense.counts_["conflicts"]:
        assert inner_product(before, anchor) < -1e-3 * size
        assert abs(inner_product(after, anchor)) < 1e-6 * size
    else:
        assert farthest(before, after) == 0


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_the_first_update_is_plains_to_rounding_and_a_later_one_is_not(tmp_path, adapted):
    for steps, same in ((1, True), (3, False)):
        options: dict[str, Any] = {"max_steps": steps, **SGD}
        plain = weights_of(trained(tmp_path, model=start(adapted), **options).model)
        found = trained(tmp_path, [safe_grad()], model=start(adapted), **options)
        assert (farthest(plain, weights_of(found.model)) < 1e-7) is same
    assert found.defenses[0].counts_["noise"] == 1


@pytest.mark.parametrize("distance", ["kl", "ce"])
def test_micro_batches_are_one_batch(tmp_path, distance):
    """The angle is that of the whole update's gradient: of each micro-batch's it would differ."""
    one, many = (
        trained(
            tmp_path, [safe_grad(distance=distance)], max_steps=6, per_device_train_batch_size=size,
            gradient_accumulation_steps=8 // size, **SGD,
        )
        for size in (8, 2)
    )  # fmt: skip
    assert farthest(weights_of(one.model), weights_of(many.model)) < 1e-6
    assert one.defenses[0].counts_ == many.defenses[0].counts_
    assert one.defenses[0].counts_["updates"] == 6


def test_one_pass_over_the_memory_per_update_and_its_rows_come_round(tmp_path):
    trainer = trainer_of(
        tmp_path, [safe_grad(batch_size=4)], per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    passes: list[int] = []
    trainer.model.register_forward_pre_hook(
        lambda _m, _a, given: passes.append(len(given["input_ids"])), with_kwargs=True
    )
    trainer.train()
    assert passes == [4, 4, 2, *(2, 2, 4), *(2, 2, 4), *(2, 2, 2), *(2, 2, 4)]


def test_plain_replay_is_its_ablation(tmp_path):
    """Without surgery, and with the cross-entropy: g_u + ρ ∇CE(M)."""
    ablated = safe_grad(surgery=False, distance="ce", rho=0.5, batch_size=10)
    trainer = trainer_of(tmp_path, [ablated], max_steps=1, **SGD)
    model = tiny_model()
    params = trainable(model)
    seen, own = [], trainer.training_step

    def watching(m: Any, inputs: Any, *args: Any) -> Any:
        seen.append(dict(inputs))
        return own(m, inputs, *args)

    trainer.training_step = watching
    trainer.train()
    loss = model(**seen[0]).loss + 0.5 * model(**batch_of(REFUSALS)).loss
    grads = torch.autograd.grad(loss, list(params.values()))
    wanted = {n: p.detach() - 0.1 * g for (n, p), g in zip(params.items(), grads, strict=True)}
    assert farthest(weights_of(trainer.model), wanted) < 1e-6
    assert ("safe_grad", "before") not in trainer.trace.counts


def test_the_control_adds_as_long_a_vector_that_knows_nothing(tmp_path):
    control = safe_grad(direction="random")
    assert (control.variant().label, control.variant().control) == ("random", True)
    assert not safe_grad().variant().control
    for options in ({"rho": 1.0}, {"rho": 0.0}):
        ours, before, after = in_grad(False, tiny_model(), tmp_path, **options)
        other, same, moved = in_grad(False, tiny_model(), tmp_path, direction="random", **options)
        assert farthest(before, same) == 0
        assert other.figures_["distance"] == ours.figures_["distance"]
        assert abs(other.figures_["cosine"]) < 0.05
        if options["rho"] and not other.counts_["conflicts"]:
            added = {n: moved[n] - same[n] for n in same}
            length = global_norm(added) / other.figures_["coefficient"]
            assert length == pytest.approx(
                ours.figures_["gradient_share"]
                * global_norm(before)
                / ours.figures_["coefficient"],
                rel=1e-4,
            )
        assert farthest(after, moved) > 0 or not options["rho"]


def test_the_control_draws_a_direction_of_its_own_at_each_update(tmp_path, monkeypatch):
    """One direction for the whole run would be a push, and no noise."""
    drawn: list[dict[str, Tensor]] = []

    def kept(like: Any, seed: int) -> dict[str, Tensor]:
        drawn.append(gaussian(like, seed))
        return drawn[-1]

    monkeypatch.setattr("holdfast.defenses.safe_grad.safe_grad.gaussian", kept)
    trained(tmp_path, [safe_grad(direction="random", rho=0.5)], max_steps=3, **SGD)
    size = global_norm(drawn[0]) ** 2
    for left, right in ((0, 1), (1, 2), (0, 2)):
        assert abs(inner_product(drawn[left], drawn[right])) < 0.1 * size


def test_the_share_is_of_what_is_added(tmp_path):
    """The second step is from the same weights at every strength: the first adds but rounding."""
    found = []
    for strength in (1.0, 4.0):
        defense = safe_grad(strength=strength, surgery=False)
        trained(tmp_path, [defense], max_steps=2, **SGD)
        found.append(defense.metrics()["gradient_share"])
    assert found[1] == pytest.approx(4 * found[0], rel=1e-3)


def test_kept_top_tokens_hold_less_and_all_of_them_the_same(tmp_path):
    runs = {k: trained(tmp_path, [safe_grad(top_k=k)], **SGD).defenses[0] for k in (0, 3, 10_000)}
    whole, few, all_ = (runs[k].figures_["distance"] for k in (0, 3, 10_000))
    assert 0 < few < whole
    assert all_ == whole
    assert set(runs[3].reference_) == {"counts", "rows", "logits", "tokens", "rest"}


def test_beside_an_attached_vector_the_distance_is_that_of_the_served_model(tmp_path):
    vectors = SecurityVectors(
        harmful=HARMFUL, benign=BENIGN, attach="hooks", epochs=3, rank=2, lr=1e-2,
        max_harmful_nll=1e9, max_benign_kl=1e9,
    )  # fmt: skip
    history = trained(tmp_path, [vectors, safe_grad()], model=lora(tiny_model())).state.log_history
    seen = [row["safe_grad/distance"] for row in history if "loss" in row]
    assert abs(seen[0]) < 1e-6  # With the vector it would be far from the start.
    assert seen[-1] > 1e-6


def test_rates_count_every_update_and_go_on_after_a_resume(tmp_path):
    options = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, **SGD}
    whole = trained(tmp_path / "whole", [safe_grad()], **options)
    logs = [row for row in whole.state.log_history if "loss" in row]
    assert logs[0]["safe_grad/noise_rate"] == 1
    assert logs[-1]["safe_grad/noise_rate"] == pytest.approx(1 / 6)
    assert 0 <= logs[-1]["safe_grad/conflict_rate"] <= 1
    again = trainer_of(tmp_path / "again", [safe_grad()], **options)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert again.defenses[0].counts_ == whole.defenses[0].counts_
    assert farthest(weights_of(whole.model), weights_of(again.model)) == 0


# --- refusals --------------------------------------------------------------------------------


def test_a_resume_with_other_rows_is_refused(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 2}
    trained(tmp_path / "first", [safe_grad()], **options)
    for other in ({"safe": REFUSALS[:3]}, {"batch_size": 2}, {"safe": REFUSALS[::-1]}):
        again = trainer_of(tmp_path / "again", [safe_grad(**other)], **options)
        with pytest.raises(ConfigError, match="resume with the same rows"):
            again.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-2"))


def test_scaled_gradients_are_refused(tmp_path):
    """A dot product of gradients that are scaled for fp16 is scaled twice."""
    trainer = trainer_of(tmp_path, [])
    trainer.args.fp16 = True
    with pytest.raises(ConflictError, match="safe_grad needs extra backward passes: fp16=True"):
        trainer.take_defenses([safe_grad()])


def test_a_broken_loss_names_its_batch(tmp_path, monkeypatch):
    module = "holdfast.defenses.safe_grad.safe_grad.answer_logits"
    monkeypatch.setattr(module, lambda *given: answer_logits(*given) * math.nan)
    with pytest.raises(DivergedError, match=r"safe_grad: .* step 0: .* batch 1 of them"):
        trained(tmp_path, [safe_grad()])


@pytest.mark.parametrize(
    "bad",
    [
        {"strength": -1.0}, {"rho": -0.5}, {"rho": math.nan}, {"batch_size": 0},
        {"batch_size": 1.5}, {"top_k": -1}, {"distance": "l2"}, {"direction": "up"},
        {"rho": 0.0, "surgery": False}, {"top_k": 5, "distance": "ce"}, {"safe": None},
        {"safe": []},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        safe_grad(**bad).validate()
