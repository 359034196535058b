"""Stage 1 and the gate: a vector is trained, held against unseen rows, kept or refused."""

import pytest
import torch
from safetensors.torch import save_file

from holdfast import SecurityVectors
from holdfast.defense import Run
from holdfast.defenses.security_vectors.gate import Gate, measure_gate
from holdfast.defenses.security_vectors.train import (
    Settings,
    answer_logits,
    kl_divergence,
    train_vector,
)
from holdfast.errors import ConfigError, GateError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.low_rank import LowRank
from holdfast.training.standalone import standalone_run
from tests.tiny import CONFIGS, tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    batch_of,
    example,
    farthest,
    lora,
    weights_of,
)

SETTINGS = {
    "learning_rate": 1e-2, "epochs": 8, "kl_weight": 0.0, "bilevel_steps": 0, "bilevel_lr": 0.1,
    "target_nll": None, "seed": 0,
}  # fmt: skip


def train(model, *, benign=(), held_out_nll=None, **options):
    engine, vector = LocalEngine(model), LowRank.zero(model, 4, 8.0, None, 0)
    settings = Settings(**{**SETTINGS, **options})
    batches = [batch_of(HARMFUL[:4]), batch_of(HARMFUL[4:8])]
    losses = train_vector(engine, vector, batches, list(benign), settings, held_out_nll)
    return engine, vector, losses


def defense(**options):
    loose = {"epochs": 2, "max_harmful_nll": 100.0, "max_benign_kl": 100.0}
    return SecurityVectors(**{"harmful": HARMFUL, "benign": BENIGN, **loose, **options})


def run_of(model) -> Run:
    return standalone_run(model, tiny_tokenizer())


@pytest.mark.parametrize("arch", CONFIGS)
def test_the_vector_learns_harm_and_the_model_stays_bit_for_bit(arch):
    model = tiny_model(arch)
    before, ids = weights_of(model), batch_of(HARMFUL[8:])
    plain = model(**ids).logits
    engine, vector, losses = train(model)
    assert losses[-1] < losses[0] - 0.2
    gate = measure_gate(engine, vector, [ids], [])
    assert gate.harmful_nll < gate.harmful_nll_off - 0.1
    assert farthest(before, weights_of(model)) == 0
    assert torch.equal(model(**ids).logits, plain)  # Off, it is the base.
    assert all(p.grad is None for p in model.parameters())
    assert not any(t.requires_grad for t in vector.parameters())


def in_one_graph(model, benign, epochs, weight):
    """The vector as one backward through the sum of both terms trains it."""
    engine, vector = LocalEngine(model), LowRank.zero(model, 4, 8.0, None, 0)
    batches = [batch_of(HARMFUL[:4]), batch_of(HARMFUL[4:8])]
    leaves = [t.requires_grad_(True) for t in vector.parameters()]
    optimizer = torch.optim.AdamW(leaves, lr=SETTINGS["learning_rate"], weight_decay=0.0)
    rng = torch.Generator().manual_seed(SETTINGS["seed"])
    for _ in range(epochs):
        for i in torch.randperm(len(batches), generator=rng).tolist():
            with torch.no_grad():
                reference = answer_logits(engine, benign)
            with vector.hooked(model):
                drift = kl_divergence(reference, answer_logits(engine, benign))
                total = engine.loss(batches[i]) + weight * drift
            for leaf, grad in zip(leaves, torch.autograd.grad(total, leaves), strict=True):
                leaf.grad = grad
            optimizer.step()
    return [leaf.detach() for leaf in leaves]


@pytest.mark.parametrize("arch", ["llama", "gemma2"])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_term_by_term_is_the_sum_bit_for_bit(arch, weight):
    benign = batch_of(BENIGN[:4])
    _, vector, _ = train(tiny_model(arch), benign=[benign], epochs=3, kl_weight=weight)
    wanted = in_one_graph(tiny_model(arch), benign, 3, weight)
    assert all(torch.equal(a, b) for a, b in zip(vector.parameters(), wanted, strict=True))


def test_bilevel_steps_train_at_moved_weights():
    _, plain, _ = train(tiny_model())
    model = tiny_model()
    before = weights_of(model)
    _, moved, _ = train(model, bilevel_steps=3)
    assert farthest(before, weights_of(model)) == 0
    assert farthest(plain.tensors(), moved.tensors()) > 1e-4


def test_bilevel_moves_only_the_users_adapter_and_puts_it_back():
    model = lora(tiny_model())
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    train(model, bilevel_steps=2)
    assert farthest(before, {n: p.detach() for n, p in model.named_parameters()}) == 0


def test_a_vector_is_left_frozen_and_the_model_whole_after_an_exception():
    model = tiny_model()
    before = weights_of(model)

    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(model, bilevel_steps=1, target_nll=0.0, held_out_nll=broken)
    assert farthest(before, weights_of(model)) == 0
    assert not any(m._forward_hooks for m in model.modules())


def test_the_kl_term_keeps_benign_answers():
    benign, unseen = [batch_of(BENIGN[:5])], [batch_of(BENIGN[5:])]
    drift = {}
    for weight in (0.0, 10.0):
        model = tiny_model()
        engine, vector, _ = train(model, benign=benign, kl_weight=weight, epochs=20)
        drift[weight] = measure_gate(engine, vector, [batch_of(HARMFUL[8:])], unseen).benign_kl
    assert drift[10.0] < 0.5 * drift[0.0]


def test_the_gates_figures_hang_on_the_rows_and_not_on_how_they_are_batched():
    """A last batch of one row would weigh as much as all others together."""
    engine, vector, _ = train(tiny_model())
    longer = [example("what is 5 plus 1", "sorry I cannot tell me " * 4), *BENIGN[:5]]
    whole = measure_gate(engine, vector, [batch_of(HARMFUL)], [batch_of(longer)])
    cut = measure_gate(
        engine, vector, [batch_of(HARMFUL[:1]), batch_of(HARMFUL[1:])],
        [batch_of(longer[:1]), batch_of(longer[1:])],
    )  # fmt: skip
    assert cut.row() == pytest.approx(whole.row(), rel=1e-4)
    assert whole.benign_kl is not None
    assert whole.benign_kl > 0


def test_kl_divergence_is_the_definition():
    p, q = torch.randn(5, 7), torch.randn(5, 7)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=p), torch.distributions.Categorical(logits=q)
    ).mean()
    assert float(kl_divergence(p, q)) == pytest.approx(float(expected), abs=1e-6)
    assert float(kl_divergence(p, p)) == 0


def test_answer_logits_are_those_that_predict_the_answer():
    model, batch = tiny_model(), batch_of(BENIGN[:3])
    logits = answer_logits(LocalEngine(model), batch)
    wanted = batch["labels"][batch["labels"] != -100]
    loss = torch.nn.functional.cross_entropy(logits, wanted)
    assert float(loss) == pytest.approx(float(model(**batch).loss), abs=1e-6)


def test_target_nll_stops_early():
    seen = iter([3.0, 2.0, 0.4, 0.1])
    _, _, losses = train(tiny_model(), target_nll=0.5, held_out_nll=lambda: next(seen))
    assert len(losses) == 3


def test_same_seed_same_vector_another_seed_another():
    found = [train(tiny_model(), seed=s)[1].tensors() for s in (0, 0)]
    assert farthest(*found) == 0
    one, two = defense(seed=0), defense(seed=1)
    for each in (one, two):
        each.before(run_of(tiny_model()))
    assert farthest(one.vector_, two.vector_) > 0


# The gate


def test_the_gate_prints_both_figures():
    with pytest.raises(GateError, match=r"(?s)NLL is 1\.234 .*off: 4\.500.*KL 0\.678"):
        Gate(1.234, 4.5, 0.678).check(1.0, 0.5)
    with pytest.raises(GateError):
        Gate(0.5, 4.5, 0.678).check(1.0, 0.5)
    with pytest.raises(GateError):
        Gate(float("nan"), 4.5, 0.0).check(1.0, 0.5)
    Gate(1.0, 4.5, 0.5).check(1.0, 0.5)
    Gate(1.0, 4.5, None).check(1.0, 0.5)


def test_a_weak_vector_is_refused_before_tuning():
    model = tiny_model()
    weak = defense(lr=0.0, max_harmful_nll=1.0)
    with pytest.raises(GateError, match=r"NLL is 4\.\d+.*KL 0\.000"):
        weak.before(run_of(model))
    assert not weak.vector_


def test_the_gate_measures_the_strength_that_is_attached():
    engine, vector, _ = train(tiny_model())
    rows = [batch_of(HARMFUL[8:])]
    off, half, full = (measure_gate(engine, vector, rows, rows, s) for s in (0.0, 0.5, 1.0))
    assert off.harmful_nll == pytest.approx(off.harmful_nll_off, abs=1e-6)
    assert full.harmful_nll < half.harmful_nll < off.harmful_nll
    weak, strong = defense(epochs=8, scale=0.01), defense(epochs=8, scale=1.0)
    for each in (weak, strong):
        each.before(run_of(tiny_model()))
    assert weak.report_["gate"]["harmful_nll"] > strong.report_["gate"]["harmful_nll"]


def test_held_out_rows_are_not_trained_on(monkeypatch):
    """Other answers in the last fifth of the rows change the gate, not the vector."""
    changed = [*HARMFUL[:8], *BENIGN[:2]]
    one, two = defense(), defense(harmful=changed)
    for each in (one, two):
        each.before(run_of(tiny_model()))
    assert farthest(one.vector_, two.vector_) == 0
    assert one.report_["gate"] != two.report_["gate"]
    three = defense(harmful=[BENIGN[0], *HARMFUL[1:]])
    three.before(run_of(tiny_model()))
    assert farthest(one.vector_, three.vector_) > 0


def test_benign_rows_held_out_are_not_trained_on():
    one, two = defense(kl_weight=1.0), defense(kl_weight=1.0, benign=[*BENIGN[:8], *HARMFUL[:2]])
    for each in (one, two):
        each.before(run_of(tiny_model()))
    assert farthest(one.vector_, two.vector_) == 0
    assert one.report_["gate"]["benign_kl"] != two.report_["gate"]["benign_kl"]


def test_only_the_first_rows_are_used():
    one, two = defense(rows=5), defense(harmful=HARMFUL[:5])
    for each in (one, two):
        each.before(run_of(tiny_model()))
    assert farthest(one.vector_, two.vector_) == 0


# A vector trained before


def test_a_saved_vector_skips_training(tmp_path, monkeypatch):
    first = defense(epochs=4)
    run = run_of(tiny_model())
    first.before(run)
    folder = first.after(run).save(tmp_path)
    monkeypatch.delattr("holdfast.defenses.security_vectors.security_vectors.train_vector")
    again = defense(vector=str(folder), benign=None)
    again.before(run_of(tiny_model()))
    assert farthest(first.vector_, again.vector_) == 0
    assert again.report_["vector_losses"] == []
    gate = first.report_["gate"]
    assert again.report_["gate"]["harmful_nll"] == pytest.approx(gate["harmful_nll"], abs=1e-6)


def test_a_saved_vector_still_passes_the_gate(tmp_path):
    weak = defense(lr=0.0)
    run = run_of(tiny_model())
    weak.before(run)
    folder = weak.after(run).save(tmp_path)
    with pytest.raises(GateError):
        defense(vector=str(folder), max_harmful_nll=0.1).before(run_of(tiny_model()))


def test_a_missing_or_foreign_vector_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="adapter_config"):
        defense(vector=str(tmp_path)).before(run_of(tiny_model()))
    save_file({"weight": torch.ones(1)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(ConfigError, match="do not belong together"):
        defense(vector=str(tmp_path)).before(run_of(tiny_model()))


@pytest.mark.parametrize(
    "bad",
    [
        {"scale": -1}, {"rank": 0}, {"rows": 1}, {"held_out": 0.0}, {"held_out": 0.6},
        {"epochs": 0}, {"kl_weight": -1}, {"bilevel_steps": -1}, {"target_nll": -1},
        {"attach": "glued"}, {"harmful": None}, {"harmful": HARMFUL[:1]}, {"benign": BENIGN[:1]},
        {"benign": None},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        defense(**bad).validate()
