"""Memory anchors: each method's gradient in closed form, what it starts from, what is refused."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from holdfast import MemoryAnchor, SecurityVectors
from holdfast.defenses.memory_anchor import (
    METHODS,
    importance,
    memory_term,
    penalty,
    pull,
    read_layers,
    states_distance,
)
from holdfast.defenses.memory_anchor.importance import by_answer_length
from holdfast.defenses.memory_anchor.methods import Settings, settled
from holdfast.defenses.memory_anchor.rows import memory_rows
from holdfast.errors import ConfigError, ConflictError, RunError
from holdfast.ops.anchors.distances import squared_distance
from holdfast.ops.anchors.references import said_now
from holdfast.ops.engine import LocalEngine
from holdfast.ops.modules import trainable
from holdfast.ops.weights import copied
from holdfast.testing import runs
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    REFUSALS,
    USER,
    batch_of,
    example,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

SGD = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}
MEMORY = ("replay", "der", "der++")
COMPARING = tuple(m for m in METHODS if m != "replay")
N, V, D = 6, 5, 4


def anchor(method, **options):
    return MemoryAnchor(**{"safe": REFUSALS, "batch_size": 4, "method": method, **options})


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)


def of(**options):
    return settled(anchor("der++", **options))


# DER on z = Wx.


def test_ders_gradient_on_a_linear_model_is_the_closed_form():
    """2α/(NV)·C(W − W0)XXᵀ, C = I − 11ᵀ/V the centering: it is 2α/(NV)·(W − W0)XXᵀ but for it."""
    w, start, x, alpha = drawn(V, D), drawn(V, D, seed=1), drawn(D, N, seed=2), 0.7
    w.requires_grad_()
    (alpha * squared_distance((w @ x).T, (start @ x).T)).backward()
    center = torch.eye(V) - torch.ones(V, V) / V
    wanted = 2 * alpha / (N * V) * center @ (w.detach() - start) @ x @ x.T
    assert w.grad is not None
    assert torch.allclose(w.grad, wanted, atol=1e-6)
    # Where the change has no constant part, as among distributions, it is the uncentered one.
    apart = center @ drawn(V, D, seed=3)
    v = (start + apart).requires_grad_()
    (alpha * squared_distance((v @ x).T, (start @ x).T)).backward()
    assert v.grad is not None
    assert torch.allclose(v.grad, 2 * alpha / (N * V) * apart @ x @ x.T, atol=1e-6)


def least_squares(alpha):
    """Where ½‖W − A‖² + α·DER has its minimum, by gradient descent; X Xᵀ is invertible."""
    start, aim, x = drawn(V, D), drawn(V, D, seed=1), drawn(D, N, seed=2)
    center = torch.eye(V) - torch.ones(V, V) / V
    aim = start + center @ (aim - start)  # The task asks for nothing that logits leave open.
    w = start.clone().requires_grad_()
    largest = 1 + 2 * alpha / (N * V) * float(torch.linalg.eigvalsh(x @ x.T).max())
    for _ in range(3000):
        loss = (w - aim).square().sum() / 2 + alpha * squared_distance((w @ x).T, (start @ x).T)
        (gradient,) = torch.autograd.grad(loss, w)
        with torch.no_grad():
            w -= gradient / largest
    return float((w.detach() - start).norm() / (aim - start).norm())


def test_a_large_alpha_pins_the_start():
    far = [least_squares(alpha) for alpha in (0.0, 10.0, 1000.0)]
    assert far[0] == pytest.approx(1, abs=1e-5)
    assert far[0] > far[1] > far[2]
    assert far[2] < 0.1


# The memory's term on a model.


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.8), (0.8, 0.0), (0.8, 0.4)])
def test_the_memorys_gradient_is_alpha_times_ders_and_beta_times_replays(alpha, beta):
    model = lora(tiny_model())
    engine, batch = LocalEngine(model), batch_of([*REFUSALS[:3], *BENIGN[:2]])
    reference = said_now(engine, batch)
    with torch.no_grad():
        for p in engine.parameters().values():
            p.add_(0.05 * drawn(*p.shape))
    settings = of()._replace(anchor=alpha, cross_entropy=beta)
    found, value = engine.gradients([batch], lambda b: memory_term(engine, b, reference, settings))
    asked = batch["labels"][:, 1:] != -100

    def by_hand():
        logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits[:, :-1][asked]
        d = logits - reference.logits
        d = d - d.mean(-1, keepdim=True)
        return alpha * d.square().mean() + beta * model(**batch).loss

    model.eval()
    wanted = by_hand()
    grads = torch.autograd.grad(wanted, list(trainable(model).values()))
    assert value == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert farthest(found, dict(zip(found, grads, strict=True))) < 1e-6
    assert max(float(g.abs().max()) for g in grads) > 1e-3


@pytest.mark.parametrize("method", COMPARING)
def test_the_first_update_is_plains_where_only_the_start_is_compared(tmp_path, method):
    """Exactly for squared differences, to rounding for KL."""
    options = {"beta": 0.0} if method == "der++" else {}
    runs = [
        weights_of(trained(tmp_path, defenses, max_steps=1, **SGD).model)
        for defenses in ([], [anchor(method, **options)])
    ]
    if method in ("lwf", "kl"):
        assert farthest(*runs) < 1e-7
    else:
        assert farthest(*runs) == 0


def test_the_second_update_is_not_plains(tmp_path):
    for method in COMPARING:
        large = {"strength": 100.0, "beta": 0.0} if method == "der++" else {"strength": 100.0}
        runs = [
            weights_of(trained(tmp_path, defenses, max_steps=2, **SGD).model)
            for defenses in ([], [anchor(method, **large)])
        ]
        assert farthest(*runs) > 1e-6, method


def test_replay_is_in_expectation_mixing_times_one_plus_the_share():
    """Rows of one length; over one round of the memory's batches, at fixed weights."""
    model, share = tiny_model(), 0.25
    engine, names = LocalEngine(model), list(trainable(model))
    user = [example(f"what is {n} plus 1", "zorba zorde") for n in range(8)]
    safe = [example(f"how to make a {t}", "no sorry") for t in ("zorba", "zorki", "mipba", "mipde")]
    f, _ = engine.gradients([batch_of(user)])
    rounds = [
        engine.gradients(
            [batch_of(safe[i : i + 2])],
            lambda b: memory_term(engine, b, None, of(alpha=0.0, beta=share)),
        )[0]
        for i in (0, 2)
    ]
    ours = {n: f[n] + (rounds[0][n] + rounds[1][n]) / 2 for n in names}
    # Of 8 + 2 rows, each safe row as likely as another: all 8·4 user's and 8 safe rows at once.
    mixed, _ = engine.gradients([batch_of([*user * 2, *safe])])
    assert farthest(ours, {n: (1 + share) * mixed[n] for n in names}) < 1e-6


# EWC and L2-SP.


def test_importance_squares_each_rows_own_gradient_summed_over_its_tokens():
    model = lora(tiny_model())
    engine = LocalEngine(model)
    rows = [*REFUSALS[:2], *BENIGN[:1], example("how to make zorba", "no")]
    found = importance(engine, [batch_of(rows[:3]), batch_of(rows[3:])])
    model.eval()
    wanted: dict[str, Tensor] = {}
    for row in rows:
        batch = batch_of([row])
        tokens = int((batch["labels"][:, 1:] != -100).sum())
        loss = tokens * model(**batch).loss
        grads = torch.autograd.grad(loss, list(trainable(model).values()))
        for name, g in zip(trainable(model), grads, strict=True):
            wanted[name] = wanted.get(name, torch.zeros_like(g)) + g.square() / len(rows)
    scale = max(float(f.max()) for f in wanted.values())
    assert farthest(found, wanted) < 1e-5 * scale
    # The square of a batch's gradient is another thing.
    whole, _ = engine.gradients([batch_of(rows)])
    assert farthest(found, {n: g.square() for n, g in whole.items()}) > 0.1 * scale


def test_rows_that_the_trainer_joins_to_one_weigh_as_they_do_apart():
    """Of a padding-free batch the square of the rows' sum would be taken for their squares."""
    found = []
    for options in ({}, {"padding_free": True, "max_length": None}):
        defense = anchor("ewc", safe=REFUSALS[:4])
        runs.new_trainer([defense], runs.Setting("SFTTrainer"), max_steps=1, **options).train()
        found.append(defense.fisher_)
    scale = max(float(f.max()) for f in found[0].values())
    assert farthest(*found) < 1e-4 * scale


def test_rows_are_grouped_by_their_answer_tokens():
    batch = batch_of([*REFUSALS[:1], *BENIGN[:1], *REFUSALS[1:2]])
    groups = {n: len(part["input_ids"]) for n, part in by_answer_length(batch)}
    lengths = (batch["labels"][:, 1:] != -100).sum(1)
    assert groups == {int(lengths[1]): 1, int(lengths[0]): 2}


def test_ewcs_gradient_is_f_times_the_way_and_its_value_the_quadratic():
    w, start, f, lam = drawn(3, 2), drawn(3, 2, seed=1), drawn(3, 2, seed=2).abs(), 0.3
    w.requires_grad_()
    term = lam / 2 * (f * (w - start).square()).sum()
    term.backward()
    found = pull({"w": w}, {"w": start}, {"w": f}, lam)
    assert w.grad is not None
    assert torch.allclose(found["w"], w.grad)
    assert penalty({"w": w}, {"w": start}, found) == pytest.approx(float(term.detach()))
    assert torch.equal(pull({"w": w}, {"w": start}, None, 1.0)["w"], w.detach() - start)


def test_ewc_on_a_quadratic_ends_at_the_closed_forms_minimum():
    """(A + λF)⁻¹(Ac + λFθ0), for the task's ½(w − c)ᵀA(w − c)."""
    root, c, start, f, lam = drawn(4, 4), drawn(4, seed=1), drawn(4, seed=2), drawn(4, seed=3), 2.0
    a, f = root @ root.T + torch.eye(4), f.abs() + 0.1
    model = nn.Linear(4, 1, bias=False)
    engine, w = LocalEngine(model), model.weight
    with torch.no_grad():
        w.copy_(start[None])
    kept = copied(engine.parameters())
    for _ in range(600):
        w.grad = (a @ (w.detach()[0] - c))[None]
        engine.add_gradient(pull(engine.parameters(), kept, {"weight": f[None]}, lam))
        with torch.no_grad():
            w -= 0.05 * w.grad
    held = a + lam * torch.diag(f)
    wanted = torch.linalg.solve(held, a @ c + lam * f * start)
    assert torch.allclose(w.detach()[0], wanted, atol=1e-4)


# On the user's rows.


def test_layers_are_read_back_from_the_last():
    assert read_layers(12, 5) == [2, 7, 12]
    assert read_layers(2, 5) == [2]
    assert read_layers(3, 1) == [1, 2, 3]


def test_states_distance_is_a_mean_over_layers_tokens_and_dimensions():
    now, start = drawn(2, 3, 4), drawn(2, 3, 4, seed=1)
    assert float(states_distance(now, start)) == pytest.approx(float((now - start).square().mean()))
    assert float(states_distance(now[:, :0], start[:, :0])) == 0


@pytest.mark.parametrize("method", ["lwf", "kl"])
def test_a_run_on_the_users_rows_is_descent_on_the_papers_objective(tmp_path, method):
    """A second model is the reference, in accumulated micro-batches; the adapter is not 0 first."""
    lam, steps = 2.0, 3
    run = trained(
        tmp_path, [anchor(method, lam=lam, safe=None)], model=lora(tiny_model()), max_steps=steps,
        per_device_train_batch_size=4, gradient_accumulation_steps=2, **SGD,
    )  # fmt: skip
    model, initial = lora(tiny_model()).eval(), lora(tiny_model()).eval()
    batch, heat = batch_of(USER), 2.0 if method == "lwf" else 1.0  # All rows, whatever the order.
    asked = batch["labels"][:, 1:] != -100
    for _ in range(steps):
        now, then = (
            (m(**batch).logits[:, :-1][asked] / heat).log_softmax(-1) for m in (model, initial)
        )
        p, q = (then.detach(), now) if method == "lwf" else (now, then.detach())
        loss = model(**batch).loss + lam * (p.exp() * (p - q)).sum(-1).mean()
        grads = torch.autograd.grad(loss, list(trainable(model).values()))
        with torch.no_grad():
            for w, g in zip(trainable(model).values(), grads, strict=True):
                w.sub_(0.1 * g)
    assert farthest(weights_of(run.model), weights_of(model)) < 1e-6


@pytest.mark.parametrize("changed", ["labels", "input_ids"])
def test_a_batch_that_changed_after_it_was_compared_is_an_error(changed):
    """Also where its answers are the same and its prompts are not: the rows are paired wrongly."""
    defense, batch = anchor("kl"), batch_of(USER[:2])
    defense._held = (batch, None)  # type: ignore[assignment]
    other = {**batch, changed: batch[changed].flip(0)}
    with pytest.raises(RunError, match="after the defense that changes it"):
        defense.loss(None, other, None)  # type: ignore[arg-type]


# Runs.


def test_kept_and_live_references_train_alike(tmp_path):
    runs = [
        weights_of(trained(tmp_path, [anchor("der", alpha=5.0, live=live)]).model)
        for live in (False, True)
    ]
    assert farthest(*runs) == 0


def test_the_memory_is_drawn_once_with_its_harmless_rows():
    rows = memory_rows(REFUSALS, BENIGN, 6, 0.5, seed=1)
    assert sorted(map(str, rows)) == sorted(map(str, [*REFUSALS[:6], *BENIGN[:3]]))
    assert rows == memory_rows(REFUSALS, BENIGN, 6, 0.5, seed=1)
    assert rows != memory_rows(REFUSALS, BENIGN, 6, 0.5, seed=2)


def test_the_memorys_size_is_said(tmp_path):
    """Also where `benign` has fewer rows than `harmless` asks for."""
    said: list[str] = []
    defense = anchor("replay", rows=6, harmless=1.0, benign=BENIGN[:2])
    trainer = trainer_of(tmp_path, [defense], max_steps=2)
    trainer.say = said.append
    trainer.train()
    assert said == ["memory_anchor: 6 refusals and 2 harmless rows are the memory"]
    # A second run of the same defense draws by its own seed.
    again, other = (trained(tmp_path, [d], seed=2) for d in (defense, replace(defense)))
    assert farthest(weights_of(again.model), weights_of(other.model)) == 0


def test_a_resume_with_other_rows_is_refused(tmp_path):
    """Also where their answers are as long: each row would be held at another's logits."""
    options = {"save_strategy": "steps", "save_steps": 2}
    trained(tmp_path / "first", [anchor("der")], **options)
    for rows, size, seed in ((BENIGN, 4, 1), (REFUSALS[::-1], 4, 1), (REFUSALS, 3, 1)):
        other = anchor("der", safe=rows, batch_size=size)
        again = trainer_of(tmp_path / "again", [other], seed=seed, **options)
        with pytest.raises(ConfigError, match=r"memory_anchor: .* resume with the same rows"):
            again.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-2"))


@pytest.mark.parametrize("method", ["ewc", "l2-sp", "der"])
def test_weights_in_bfloat16_are_held_too(tmp_path, method):
    """The pull is in float32, and `.grad` is not."""
    defense = anchor(method, strength=3.0)
    run = trained(tmp_path, [defense], model=tiny_model().bfloat16(), max_steps=2, **SGD)
    assert defense.metrics()["term"] > 0
    assert {w.dtype for w in weights_of(run.model).values()} == {torch.bfloat16}


def test_the_terms_share_of_the_loss_is_logged(tmp_path):
    defense = anchor("der++", alpha=0.0, beta=2.0, batch_size=10)
    logs = trained(tmp_path, [defense], max_steps=1, **SGD).state.log_history
    log = next(row for row in logs if "loss" in row)
    loss = float(tiny_model()(**batch_of(REFUSALS)).loss.detach())
    assert log["memory_anchor/term"] == pytest.approx(2 * loss, rel=1e-4)
    assert log["memory_anchor/share"] == pytest.approx(2 * loss / log["loss"], rel=1e-3)


def test_a_users_term_is_no_part_of_the_loss_that_it_is_a_share_of(tmp_path):
    defense = anchor("kl", lam=50.0)
    logs = trained(
        tmp_path, [defense], max_steps=3, per_device_train_batch_size=2,
        gradient_accumulation_steps=2, **SGD,
    ).state.log_history  # fmt: skip
    logged = [row for row in logs if "loss" in row]
    assert logged[-1]["memory_anchor/term"] > 0.01
    for log in logged:
        term, share = log["memory_anchor/term"], log["memory_anchor/share"]
        assert share == pytest.approx(term / (log["loss"] - term), rel=1e-2, abs=1e-4)


def test_methods_without_a_memory_need_no_rows():
    for method in ("lwf", "kl", "ldifs", "l2-sp"):
        anchor(method, safe=None).validate()
    anchor("der", where="user", safe=None).validate()


def test_labels_say_which_method_it_is():
    made = {
        "der": anchor("der"), "derpp": anchor("der++"), "l2-sp": anchor("l2-sp"),
        "lwf-memory": anchor("lwf", where="memory"), "der-kl": anchor("der", distance="kl"),
        "der-harmless": anchor("der", harmless=1.0, benign=BENIGN),
    }  # fmt: skip
    assert {k: d.variant().label for k, d in made.items()} == {k: k for k in made}
    assert not any(d.variant().control for d in made.values())


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "der", "beta": 1.0}, {"method": "kl", "alpha": 1.0}, {"method": "DER"},
        {"method": "replay", "lam": 1.0}, {"method": "der", "alpha": -1.0},
        {"method": "der", "alpha": 0.0}, {"method": "ewc", "distance": "kl"},
        {"method": "der", "distance": "l1"}, {"method": "ldifs", "where": "memory"},
        {"method": "kl", "where": "both"}, {"method": "der", "temperature": 2.0},
        {"method": "kl", "temperature": 0.0}, {"strength": -1.0}, {"strength": float("nan")},
        {"top_k": 1.5}, {"every": 0}, {"batch_size": 0}, {"rows": 0}, {"harmless": -0.5},
        {"harmless": 1.0, "benign": None}, {"safe": []}, {"safe": None},
        {"live": True, "method": "kl"}, {"live": True, "top_k": 3},
        # What nobody would read.
        {"top_k": 3, "method": "kl"}, {"top_k": 3, "method": "replay"},
        {"top_k": 3, "method": "der++", "where": "user"}, {"every": 1}, {"rows": 3, "method": "kl"},
        {"harmless": 1.0, "benign": BENIGN, "method": "l2-sp"},
        {"distance": "kl", "method": "der++", "alpha": 0.0},
        {"where": "user", "method": "der++", "alpha": 0.0},
        {"harmless": 0.01, "benign": BENIGN},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError) as error:
        anchor(**{"method": "der", **bad}).validate()
    assert any(name in str(error.value) for name in bad)
    assert "memory_anchor" in str(error.value)


def test_what_compares_on_the_users_rows_excludes_an_attached_vector(tmp_path):
    vector = SecurityVectors(harmful=HARMFUL, benign=BENIGN)
    assert anchor("kl").conflict(vector)
    assert anchor("der").conflict(vector) is None
    with pytest.raises(ConflictError, match="compare on the memory"):
        trained(tmp_path, [anchor("lwf"), vector])


def test_settings_are_the_papers_where_it_gives_them():
    assert settled(anchor("kl")) == Settings("logits", "user", "reverse_kl", 1.0, 0.1, 0.0)
    assert settled(anchor("lwf"))[1:4] == ("user", "kl", 2.0)
    assert settled(anchor("ldifs")).anchor == 1.0
    assert settled(anchor("der++", alpha=0.0)).compared == ""


@pytest.mark.parametrize(("method", "options"), [("der++", {"beta": 2.0}), ("kl", {"lam": 9.0})])
def test_micro_batches_of_one_update_are_one_batch_in_weights_and_figures(
    tmp_path, method, options
):
    found, figures = [], []
    for size, micros in ((8, 1), (2, 4)):
        defense = anchor(method, **options)
        run = trained(
            tmp_path, [defense], max_steps=3, per_device_train_batch_size=size,
            gradient_accumulation_steps=micros, **SGD,
        )  # fmt: skip
        found.append(weights_of(run.model))
        figures.append(defense.metrics())
    assert farthest(*found) < 1e-6
    assert figures[0] == pytest.approx(figures[1], rel=1e-3)
    assert figures[0]["term"] > 1e-3
