"""A run with the shift: on in every step, chosen, held against its gate, and gone when served."""

import re

import pytest
import torch
from safetensors.torch import save_file

from holdfast import PreventativeSteering
from holdfast.analysis.rows.components.states import moved
from holdfast.data.chat import collate
from holdfast.defense import Run
from holdfast.defenses.attachments import GateFigures, attached_nll
from holdfast.defenses.preventative_steering.gate import check_shift
from holdfast.defenses.security_vectors.gate import Gate
from holdfast.errors import ConfigError, ConflictError, GateError, ModelError, RunError
from holdfast.inputs.specs import Spec
from holdfast.ops.agreement import agreement
from holdfast.ops.engine import LocalEngine
from holdfast.ops.modules import trainable
from holdfast.ops.weights import copied
from holdfast.testing.leaks import check_no_leak
from tests.tiny import HIDDEN, LAYERS, tiny_model
from tests.unit.defenses.preventative_steering.test_steering_equations import with_bias
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    REFUSALS,
    batch_of,
    encoded,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

OPEN = {"min_drop": -1e9, "max_benign_kl": 1e9}


def steering(**options):
    rows = {"harmful": HARMFUL, "safe": REFUSALS, "benign": BENIGN}
    return PreventativeSteering(**{**rows, **OPEN, "alpha": 2.0, **options})


def run_of(model, said=None):
    say = (lambda _: None) if said is None else said.append
    return Run(model, LocalEngine(model), encoded, lambda rows: collate(rows, 0), 3, say=say)


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


# One run


def test_a_run_is_that_of_a_model_with_the_frozen_bias(tmp_path):
    options = {"learning_rate": 1e-4, "adam_epsilon": 1e-6}
    defense = steering(layers=(1,))
    found = weights_of(trained(tmp_path, [defense], **options).model)
    bias = 2.0 * defense.vectors_[1]
    biased = trained(tmp_path, model=with_bias(tiny_model(), 1, bias), **options).model
    assert farthest(found, weights_of(biased)) <= 1e-6
    assert farthest(found, weights_of(trained(tmp_path, **options).model)) > 1e-5


def test_nothing_is_left_on_the_model(tmp_path):
    trainer = trained(tmp_path, [steering()])
    model = trainer.model
    assert hooks(model) == 0
    assert model.state_dict().keys() == tiny_model().state_dict().keys()
    assert len(list(model.modules())) == len(list(tiny_model().modules()))
    [artifact] = trainer.artifacts
    assert artifact.private
    assert artifact.tensors["steering"]["vectors"].shape == (LAYERS, HIDDEN)


def test_no_checkpoint_holds_what_is_like_the_vectors(tmp_path):
    folder, options = tmp_path / "run", {"save_strategy": "steps", "save_steps": 2}
    trainer = trained(folder, [steering()], **options)
    trainer.save_model(str(folder))
    check_no_leak(trainer, [folder])
    assert len(list(folder.glob("checkpoint-*"))) == 2
    save_file({"copy": trainer.defenses[0].vectors_ * 3}, folder / "planted.safetensors")
    with pytest.raises(AssertionError, match=r"preventative_steering\.vectors_"):
        check_no_leak(trainer, [folder])


def test_strength_zero_runs_no_hook(tmp_path):
    plain = weights_of(trained(tmp_path).model)
    trainer = trained(tmp_path, [PreventativeSteering(alpha=0)])
    assert farthest(plain, weights_of(trainer.model)) == 0
    assert not trainer.trace.counts
    assert not trainer.artifacts


def test_the_shift_is_off_while_served_and_on_again_after():
    model, defense, batch = tiny_model(), steering(), batch_of(HARMFUL[:3])
    run = run_of(model)
    defense.before(run)
    with torch.no_grad():
        plain = model(**batch).logits
        with defense.attached(run):
            on = model(**batch).logits
            with defense.served(run):
                assert torch.equal(model(**batch).logits, plain)
                assert hooks(model) == 0
            assert torch.equal(model(**batch).logits, on)
            with defense.attached(run):  # A loop that begins again attaches once.
                assert torch.equal(model(**batch).logits, on)
        assert float((on - plain).abs().max()) > 1e-3
        assert torch.equal(model(**batch).logits, plain)
    with pytest.raises(ZeroDivisionError), defense.attached(run), defense.served(run):
        raise ZeroDivisionError
    assert hooks(model) == 0


@pytest.mark.parametrize("positions", ["all", "answers"])
def test_the_hook_stays_until_the_backward_has_recomputed(positions, tmp_path):
    """Also with a reentrant checkpoint, whose first forward has no graph."""
    options = {"learning_rate": 1e-4, "adam_epsilon": 1e-6}

    def run(**more):
        defense = steering(positions=positions)
        return weights_of(trained(tmp_path, [defense], model=lora(tiny_model()), **options, **more)
                          .model)  # fmt: skip

    plain = run()
    for reentrant in (False, True):
        how = {"use_reentrant": reentrant}
        again = run(gradient_checkpointing=True, gradient_checkpointing_kwargs=how)
        assert farthest(plain, again) <= 1e-7


def test_the_users_step_sees_the_shift_where_answers_are_predicted(tmp_path):
    """At learning rate 0 the logged loss is that of the shifted model."""
    options = {"learning_rate": 0.0, "max_steps": 1, "per_device_train_batch_size": 8}
    losses = {}
    for positions in ("all", "answers"):
        defense = steering(positions=positions, layers=(0,))
        trainer = trained(tmp_path, [defense], **options)
        model, batch = tiny_model(), trainer.data_collator(trainer.train_dataset)
        mask = torch.roll(batch["labels"] != -100, -1, 1)
        where = None if positions == "all" else lambda *_, mask=mask: mask
        with moved(model, {0: 2.0 * defense.vectors_[0]}, where), torch.no_grad():
            expected = float(model(**batch).loss)
        losses[positions] = trainer.state.log_history[0]["loss"]
        assert losses[positions] == pytest.approx(expected, abs=1e-4)
    assert abs(losses["all"] - losses["answers"]) > 1e-3


@pytest.mark.parametrize("what", ["model", "in place", "layer", "later"])
def test_a_compiled_model_is_refused(what, tmp_path):
    model = tiny_model()
    if what == "in place":
        model.compile(backend="eager")
    elif what == "layer":
        model.model.layers[1].compile(backend="eager")
    elif what == "model":
        model = torch.compile(model, backend="eager")
    start = copied(trainable(model))

    def run():
        trainer = trainer_of(tmp_path, [steering()], model=model)
        if what == "later":
            trainer.model.model.layers[0].compile(backend="eager")
        trainer.train()

    with pytest.raises((ConflictError, ConfigError), match=r"preventative_steering.*compiled"):
        run()
    assert farthest(start, copied(trainable(model))) == 0


# The layer and the gate


def held(run, rows=HARMFUL):
    """The rows that are held out: two of ten, in one batch."""
    return run.batches(rows[8:], 10)


def test_the_layer_is_the_one_that_lowers_harmful_loss_most():
    model, defense, said = tiny_model(seed=4), steering(alpha=0.5), []
    run = run_of(model, said)
    defense.before(run)
    losses = []
    for number in range(LAYERS):
        biased = with_bias(tiny_model(seed=4), number, defense.vectors_[number])
        losses.append(agreement(LocalEngine(biased), held(run))[0])
    assert defense.report_["nll"] == pytest.approx(losses, abs=1e-5)
    assert abs(losses[0] - losses[1]) > 1e-3
    assert defense.layers_ == [losses.index(min(losses))]


def test_the_gate_measures_the_shift_that_is_attached_and_tells_it():
    model, said = tiny_model(), []
    run = run_of(model, said)
    defense = steering(layers=(0, 1), alpha=0.5)
    defense.before(run)
    gate, off = defense.report_["gate"], agreement(run.engine, held(run))[0]
    with defense.attached(run):
        on = agreement(run.engine, held(run))[0]
    assert gate["harmful_nll_off"] == pytest.approx(off)
    assert gate["harmful_nll"] == pytest.approx(on)
    assert gate["benign_kl"] > 0
    assert f"harmful NLL {off:.3f} → {on:.3f}" in said[0]
    assert f"benign KL {gate['benign_kl']:.3f}" in said[0]
    assert "length of the shift" in said[1]


def test_a_benign_kl_that_nobody_measured_is_not_told_as_0():
    figures = GateFigures(1.0, 2.0, None)
    assert "benign KL not measured" in figures.told("x")
    with pytest.raises(GateError, match="benign KL not measured"):
        check_shift(figures, 1.5, 0.5, 5.0, [1])
    with pytest.raises(GateError, match="benign KL not measured"):
        Gate(1.0, 2.0, None).check(0.5, 0.5)


def test_several_layers_add_their_increments():
    run, defense = run_of(tiny_model()), steering(layers=(0, 1), alpha=3.0)
    defense.before(run)
    by = defense._shift(run)
    assert torch.allclose(by[0] + by[1], 3.0 * defense.vectors_[1], atol=1e-6)


def test_attached_nll_weighs_batches_by_their_answer_tokens():
    model = tiny_model()
    engine, apart = LocalEngine(model), [batch_of(HARMFUL[:3]), batch_of(REFUSALS[:1])]
    bias = torch.randn(HIDDEN)
    biased = LocalEngine(with_bias(tiny_model(), 0, bias))
    found = attached_nll(engine, lambda _: moved(model, {0: bias}), apart)
    assert found == pytest.approx(agreement(biased, apart)[0], abs=1e-5)


@pytest.mark.parametrize(
    ("figures", "fits"),
    [
        (GateFigures(1.0, 2.0, 0.4), True),
        (GateFigures(1.0, 2.0, None), True),
        (GateFigures(2.0, 2.0, 0.4), False),
        (GateFigures(2.5, 2.0, 0.4), False),
        (GateFigures(1.0, 2.0, 0.6), False),
        (GateFigures(float("nan"), 2.0, 0.4), False),
        (GateFigures(1.0, 2.0, float("nan")), False),
    ],
)
def test_the_gate(figures, fits):
    if fits:
        check_shift(figures, 0.0, 0.5, 5.0, [1])
        return
    with pytest.raises(GateError, match=r"alpha=5 in layers \[1\].*off: 2\.000.*benign KL"):
        check_shift(figures, 0.0, 0.5, 5.0, [1])


def test_a_vector_towards_refusals_does_not_pass_the_gate(tmp_path):
    """Rows given the wrong way round: with the shift on, held-out harm is less likely."""
    right = steering(alpha=0.5)
    right.before(run_of(tiny_model()))
    assert right.report_["gate"]["harmful_nll"] < right.report_["gate"]["harmful_nll_off"]
    save_file({"vectors": -right._known()}, tmp_path / "wrong.safetensors")
    options = {"min_drop": 0.0, "layers": tuple(right.layers_), "alpha": 0.5}
    wrong = steering(vector=str(tmp_path / "wrong.safetensors"), **options)
    with pytest.raises(GateError, match="has to fall by more than 0"):
        wrong.before(run_of(tiny_model()))
    for control in ({"alpha": -0.5}, {"direction": "random"}):
        steering(**{**options, **control}).before(run_of(tiny_model()))  # Measured, not held.


def test_a_shift_of_nothing_is_an_error():
    with pytest.raises(RunError, match=r"shift is 0.*safe=FILE"):
        steering(safe=HARMFUL).before(run_of(tiny_model()))


# Controls, files, fields


def test_controls_say_that_they_are():
    def variant(**options):
        said = PreventativeSteering(**options).variant()
        return said.label, said.control

    assert variant() == ("", False)
    assert variant(alpha=-5.0) == ("negative", True)
    assert variant(direction="random") == ("random", True)
    assert variant(direction="random", alpha=-1.0) == ("random-negative", True)
    assert variant(alpha=0.0)[1]


def test_a_random_shift_is_as_long_in_the_same_layer():
    run = run_of(tiny_model())
    harm, drawn = steering(), steering(direction="random")
    harm.before(run)
    drawn.before(run)
    assert drawn.layers_ == harm.layers_
    lengths = harm.report_["shift_norms"], drawn.report_["shift_norms"]
    assert lengths[1] == pytest.approx(lengths[0], rel=1e-5)
    left, right = (d._shift(run)[d.layers_[0]] for d in (harm, drawn))
    assert abs(float(torch.cosine_similarity(left, right, dim=0))) < 0.6


def test_a_file_of_vectors_is_taken_over(tmp_path):
    run, own = run_of(tiny_model()), steering()
    own.before(run)
    file = own.after(run).save(tmp_path) / "steering.safetensors"
    assert file.stat().st_mode & 0o077 == 0
    taken = steering(vector=str(file), safe=None)
    taken.validate()
    taken.before(run)
    assert torch.equal(taken.vectors_, own.vectors_)
    assert taken.layers_ == own.layers_
    assert taken.report_["gate"] == own.report_["gate"]


def test_a_file_that_is_no_vector_or_of_another_model(tmp_path):
    file = tmp_path / "x.safetensors"
    with pytest.raises(ConfigError, match=r"`vector=.*` cannot be read"):
        steering(vector=str(file)).validate()
    for tensors in ({"v": torch.ones(2, 3)}, {"vectors": torch.full((2, 3), torch.inf)}):
        save_file(tensors, file)
        with pytest.raises(ConfigError, match="holds no finite matrix `vectors`"):
            steering(vector=str(file)).validate()
    for shape in ((LAYERS + 1, HIDDEN), (LAYERS, HIDDEN + 1)):
        save_file({"vectors": torch.ones(shape)}, file)
        with pytest.raises(ModelError, match=re.escape(f"vectors of shape {shape}")):
            steering(vector=str(file)).check_model(tiny_model())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alpha": float("nan")}, "alpha"),
        ({"alpha": "2"}, "alpha"),
        ({"positions": "prompt"}, r"`positions=prompt` must be one of all, answers"),
        ({"direction": "away"}, r"`direction=away` must be one of"),
        ({"layers": ()}, r"`layers=`"),
        ({"layers": (1, 1)}, r"`layers=1/1`.*rising"),
        ({"layers": (2, 1)}, r"`layers=2/1`"),
        ({"layers": (-1,)}, r"`layers=-1`"),
        ({"layers": (1.5,)}, r"`layers=1.5`"),
        ({"rows": 1}, "rows"),
        ({"held_out": 0.6}, "held_out"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_benign_kl": -1.0}, "max_benign_kl"),
        ({"harmful": None}, r"`harmful=FILE`"),
        ({"harmful": HARMFUL[:1]}, "2 harmful rows"),
        ({"safe": None}, r"`safe=FILE`"),
        ({"safe": []}, r"`safe=FILE`"),
        ({"benign": BENIGN[:1]}, "2 benign rows"),
    ],
)
def test_a_field_out_of_range_is_named(options, said):
    with pytest.raises(ConfigError, match=said):
        steering(**options).validate()


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"`layers=0/2`: the model has layers 0 to 1"):
        steering(layers=(0, 2)).check_model(tiny_model())


def test_a_spec_takes_layers():
    spec = Spec.parse("preventative_steering:layers=2/3,alpha=-1,positions=answers")
    assert spec.options["layers"] == (2, 3)
    assert spec.variant.label == "negative"
