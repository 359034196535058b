"""Natural repair on finished models: its step, its budgets, its refusals, and what is left."""

from dataclasses import replace

import pytest
import torch

from holdfast import NaturalRepair, RefusalSFT, apply_natural_repair, apply_panacea, repair
from holdfast.defenses import refusals as refusing
from holdfast.defenses.natural_repair.frontier import Budget, Place, chosen, within
from holdfast.defenses.natural_repair.halves import halved
from holdfast.defenses.natural_repair.objective import way_back
from holdfast.defenses.refusals import refused, with_base
from holdfast.errors import ConfigError, DataError, ModelError, RunError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.gradients import global_norm
from holdfast.training.standalone import standalone_run
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    REFUSALS,
    batch_of,
    example,
    farthest,
    lora,
    trained,
    weights_of,
)

LOOKS = [example(f"how to draw a {n}", f"with {n} lines") for n in range(10)]
FREE = {"max_task_drop": 1.0, "max_over_refusal": 1.0, "enough": None, "max_new_tokens": 2}


def repaired(model, **options):
    given = {"safe": REFUSALS, "length": 0.1, "steps": 2, **FREE, **options}
    return apply_natural_repair(model, HARMFUL, tiny_tokenizer(), **given)


def moved(model, before):
    return {n: w - before[n] for n, w in weights_of(model).items()}


@pytest.mark.parametrize("peft", [True, False])
def test_up_harm_in_one_step_with_large_damping_it_is_panacea(peft):
    one, two = (lora(tiny_model()) if peft else tiny_model() for _ in range(2))
    apply_panacea(one, HARMFUL, tiny_tokenizer(), rho=0.3)
    repaired(
        two, direction="harm", length=0.3, steps=1, damping=1e10, benign=BENIGN, keep=0.0,
        validation=BENIGN,
    )  # fmt: skip
    assert farthest(weights_of(one), weights_of(two)) < 1e-6
    three = lora(tiny_model()) if peft else tiny_model()
    repaired(
        three, direction="harm", length=0.3, steps=1, damping=1e-3, validation=BENIGN, keep=0.0
    )
    assert farthest(weights_of(one), weights_of(three)) > 1e-4


@pytest.mark.parametrize("off", [{"step": 0.0, "length": None}, {"length": 0.0}])
def test_strength_zero_leaves_every_bit(off):
    model = lora(tiny_model())
    before = weights_of(model)
    artifact = repaired(model, validation=BENIGN, **off)
    assert farthest(weights_of(model), before) == 0
    assert artifact.report["norm"] == 0


@pytest.mark.parametrize("budget", ["max_task_drop", "max_over_refusal"])
def test_a_budget_of_nothing_leaves_the_model_alone(budget):
    model = lora(tiny_model())
    before = weights_of(model)
    artifact = repaired(model, validation=BENIGN, lookalike=LOOKS, **{budget: 0.0})
    assert farthest(weights_of(model), before) == 0
    assert artifact.report["steps"] == 0


def test_the_order_of_rows_changes_nothing():
    one, two = lora(tiny_model()), lora(tiny_model())
    rows = {"validation": BENIGN, "lookalike": LOOKS, "benign": BENIGN[:4]}
    first = repaired(one, **rows)
    second = apply_natural_repair(
        two, HARMFUL[::-1], tiny_tokenizer(), safe=REFUSALS[3:] + REFUSALS[:3], length=0.1, steps=2,
        **{name: given[::-1] for name, given in rows.items()}, **FREE,
    )  # fmt: skip
    assert farthest(weights_of(one), weights_of(two)) == 0
    assert (
        first.documents["perturbation"]["frontier"] == second.documents["perturbation"]["frontier"]
    )


def test_its_steps_lower_the_loss_of_refusals_and_keep_the_answers():
    losses = {}
    for keep in (0.0, 4.0):
        model = lora(tiny_model())
        engine = LocalEngine(model)
        repaired(model, benign=BENIGN, keep=keep, metric="euclidean")
        losses[keep] = [float(engine.loss(batch_of(r)).detach()) for r in (REFUSALS, BENIGN)]
    engine = LocalEngine(lora(tiny_model()))
    before = [float(engine.loss(batch_of(rows)).detach()) for rows in (REFUSALS, BENIGN)]
    assert losses[0.0][0] < before[0]
    assert losses[4.0][1] < min(before[1], losses[0.0][1])


def test_steps_are_a_share_of_what_training_changed():
    model = lora(tiny_model())
    before = weights_of(model)
    b = {n: p for n, p in before.items() if ".lora_B." in n}
    repaired(model, length=None, step=0.25, steps=1)
    assert global_norm(moved(model, before)) == pytest.approx(0.25 * global_norm(b), rel=1e-4)


def test_of_full_weights_it_is_a_share_of_the_way_from_the_aligned_model(tmp_path):
    tiny_model(seed=3).save_pretrained(tmp_path)
    model, other = tiny_model(), tiny_model(seed=3)
    before = weights_of(model)
    tuned = {n: before[n] - w for n, w in weights_of(other).items()}
    repaired(model, length=None, step=0.01, steps=1, aligned=str(tmp_path))
    assert global_norm(moved(model, before)) == pytest.approx(0.01 * global_norm(tuned), rel=1e-3)


def test_of_full_weights_without_the_aligned_model_a_length_is_needed():
    model = tiny_model()
    before = weights_of(model)
    with pytest.raises(ConfigError, match=r"aligned=DIR.*length="):
        repaired(model, length=None)
    assert farthest(weights_of(model), before) == 0


def test_what_is_kept_apart_is_what_was_added(tmp_path):
    model = lora(tiny_model())
    before = weights_of(model)
    artifact = repaired(model, validation=BENIGN, lookalike=LOOKS)
    change = artifact.tensors["perturbation"]
    assert farthest(change, moved(model, before)) < 1e-6
    assert all(t.dtype == torch.float32 for t in change.values())
    assert artifact.private
    assert artifact.report["steps"] == 2
    folder = artifact.save(tmp_path)
    assert (folder / "safety_patch" / "adapter_model.safetensors").is_file()
    seen = artifact.documents["perturbation"]["frontier"]
    assert [place["steps"] for place in seen] == [0, 1, 2]
    assert all(place["task_tokens"] is not None for place in seen)


def test_noise_of_the_same_length_is_a_control():
    one, two = lora(tiny_model()), lora(tiny_model())
    before = weights_of(one)
    for model in (one, two):
        artifact = repaired(model, direction="random", steps=1, metric="euclidean")
    assert farthest(weights_of(one), weights_of(two)) == 0
    assert artifact.report["norm"] == pytest.approx(0.1, rel=1e-4)
    assert farthest(weights_of(one), before) > 0
    assert NaturalRepair(direction="random").variant().control


def test_nothing_to_go_up_is_an_error():
    with pytest.raises(DataError, match="refusals or harmful pairs"):
        way_back(LocalEngine(tiny_model()), [(0.0, [batch_of(HARMFUL)]), (1.0, [])])


@pytest.mark.parametrize("poison", [1e30, 0.0])  # Too large for float32 together: NaN.
def test_no_usable_gradient_leaves_the_weights(poison):
    model = tiny_model()
    model.lm_head.weight.data.fill_(poison)
    model.model.norm.weight.data.fill_(poison)
    before = weights_of(model)
    with pytest.raises(RunError, match="no usable gradient"):
        repaired(model)
    assert all(
        torch.equal(before[n].nan_to_num(9), w.nan_to_num(9)) for n, w in weights_of(model).items()
    )


def test_it_runs_at_the_end_of_a_trainer(tmp_path):
    plain = trained(tmp_path, model=lora(tiny_model())).model
    repaired(plain)
    defense = NaturalRepair(harmful=HARMFUL, safe=REFUSALS, length=0.1, steps=2, **FREE)
    run = trained(tmp_path, [defense], model=lora(tiny_model())).model
    assert farthest(weights_of(plain), weights_of(run)) < 1e-6


@pytest.mark.parametrize(
    "bad",
    [
        {"step": -1}, {"length": -1}, {"damping": 0}, {"keep": -1}, {"steps": 0}, {"rows": 0},
        {"batch_size": 0}, {"per_step": 0}, {"max_task_drop": 2}, {"max_over_refusal": -1},
        {"enough": 2}, {"direction": "up"}, {"metric": "l2"}, {"refusals": "mine"},
        {"rise_from": "base"}, {"max_new_tokens": 0}, {"harmful": None},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        NaturalRepair(**{"harmful": HARMFUL, **bad}).validate()


# Budgets and halves


def place(steps, exact=1.0, tokens=1.0, over=0.0, answered=1.0):
    return Place(steps, 1.0, answered, over, exact, tokens)


def walked(places, budget, enough=None):
    at = {p.steps: p for p in places}
    went = []
    seen = within(went.append, at.__getitem__, sorted(at)[1:], budget, enough)
    return [p.steps for p in seen], chosen(seen, budget).steps, went


@pytest.mark.parametrize(
    "over", [{"exact": 0.97}, {"tokens": 0.97}, {"over": 0.05}, {"exact": 0.5, "over": 0.5}]
)
def test_the_walk_ends_at_the_first_place_over_either_budget(over):
    places = [place(0), place(1), place(2, **over), place(3)]
    assert walked(places, Budget(0.02, 0.02)) == ([0, 1, 2], 1, [1, 2])
    assert walked(places, Budget(0.5, 0.5))[:2] == ([0, 1, 2, 3], 3)


def test_over_refusal_may_be_counted_from_the_aligned_models():
    places = [place(0), place(1, over=0.2), place(2, over=0.3)]
    assert walked(places, Budget(0.01, 0.02, 0.25))[1] == 1
    assert walked(places, Budget(0.01, 0.02))[1] == 0


def test_the_walk_ends_where_it_is_enough():
    places = [place(0), place(1, answered=0.02), place(2, answered=0)]
    assert walked(places, Budget(0.01, 0.02), 0.02)[:2] == ([0, 1], 1)
    assert walked(places, Budget(0.01, 0.02))[1] == 2


def test_halves_are_told_by_content_and_do_not_overlap():
    rows = [{**row, "row": n} for n, row in enumerate(BENIGN)]
    other = [{**row, "row": n} for n, row in enumerate(BENIGN[::-1])]
    asked = [
        [r["prompt"] for r in half]
        for half in (halved(rows, 99).learned, halved(rows, 99).measured)
    ]
    again = halved(other, 99)
    assert asked == [[r["prompt"] for r in half] for half in (again.learned, again.measured)]
    assert len(asked[0]) == len(asked[1]) == 5
    assert not [prompt for prompt in asked[0] if prompt in asked[1]]
    assert halved(rows[:4], 99).learned == halved(rows[:4], 99).measured


# Refusals of the aligned model


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=batch_of(HARMFUL[:2])["input_ids"]).logits


def test_the_aligned_model_is_the_one_without_its_adapter_and_all_is_put_back():
    bare, model = tiny_model(), lora(tiny_model())
    tuned, flags = logits(model), {n: p.requires_grad for n, p in model.named_parameters()}
    with with_base(standalone_run(model), None, "x"):
        assert torch.equal(logits(model), logits(bare))
    assert torch.equal(logits(model), tuned)
    assert {n: p.requires_grad for n, p in model.named_parameters()} == flags
    assert not torch.equal(tuned, logits(bare))


def test_of_full_weights_it_is_the_folders_and_all_is_put_back(tmp_path):
    tiny_model(seed=3).save_pretrained(tmp_path)
    model = tiny_model()
    before = weights_of(model)
    with with_base(standalone_run(model), str(tmp_path), "x"):
        assert farthest(weights_of(model), weights_of(tiny_model(seed=3))) == 0
    assert farthest(weights_of(model), before) == 0


def test_where_the_aligned_model_cannot_be_had_it_is_told_before_anything():
    with pytest.raises(ConfigError, match="`safe=FILE`"):
        repaired(tiny_model(), safe=None)
    moved_base = lora(tiny_model(), init_lora_weights="pissa")
    with pytest.raises(ModelError, match="PiSSA"):
        repaired(moved_base, refusals="base")
    with pytest.raises(ConfigError, match="safe"):
        repaired(lora(tiny_model()), safe=None, refusals="rows")


def test_a_model_that_refuses_nothing_has_nowhere_to_be_led_back_to():
    model = lora(tiny_model())  # Random, so that it says nothing that declines.
    before = weights_of(model)
    with pytest.raises(RunError, match="refuses none of the 10"):
        repaired(model, safe=None)
    assert farthest(weights_of(model), before) == 0


def test_answers_that_are_no_refusals_are_left_out(monkeypatch):
    said = ["sorry I cannot"] * 3 + ["make the sum"] * 7
    monkeypatch.setattr(refusing, "answers", lambda *_: said)
    run = standalone_run(lora(tiny_model()), tiny_tokenizer())
    rows = refusing.refusals_of_base(run, NaturalRepair(harmful=HARMFUL))
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in HARMFUL[:3]]
    assert rows[0]["completion"][0]["content"] == "sorry I cannot"


def test_an_answer_that_opens_as_a_known_refusal_does_declines():
    rows, said = HARMFUL[:3], ["I can't help with that.", "nein , das geht nicht .", "take 1 and 2"]
    assert refused(rows, said) == [True, False, False]
    assert refused(rows, said, ["nein , das geht nicht , weil"]) == [True, False, False]
    assert refused(rows, said, ["nein , das geht nicht ."]) == [True, True, False]


# The control


@pytest.mark.parametrize("rehearsal", [False, True])
def test_the_control_tunes_on_refusals(rehearsal):
    model = lora(tiny_model())
    engine = LocalEngine(model)
    start = {
        n: float(engine.loss(batch_of(r)).detach()) for n, r in (("r", REFUSALS), ("b", BENIGN))
    }
    control = RefusalSFT(
        harmful=HARMFUL, safe=REFUSALS, benign=BENIGN, steps=8, lr=1e-2, rehearsal=rehearsal
    )
    artifact = repair(control, model, tiny_tokenizer())
    end = {n: float(engine.loss(batch_of(r)).detach()) for n, r in (("r", REFUSALS), ("b", BENIGN))}
    assert end["r"] < start["r"]
    assert not rehearsal or end["b"] < start["b"]
    assert artifact.private
    assert control.variant().control


@pytest.mark.parametrize("steps", [2, 5, 8])
def test_the_controls_first_and_last_loss_are_of_steps_of_their_own(steps):
    """With fewer steps than batches both were the mean over all steps: equal, as if idle."""
    control = RefusalSFT(harmful=HARMFUL, safe=REFUSALS, steps=steps, lr=1e-2, batch_size=1)
    assert len(REFUSALS) > steps
    first, last = repair(control, lora(tiny_model()), tiny_tokenizer()).report["loss"]
    assert last < first


def test_up_harm_alone_nothing_is_asked_of_the_aligned_model():
    model = tiny_model()  # Of full weights nobody knows what they were.
    artifact = repaired(model, safe=None, direction="harm")
    before, after = artifact.report["refusal_loss"]  # Without refusals that of the harmful answers.
    assert after > before


def test_what_nobody_will_see_is_told(monkeypatch):
    said = []
    run = replace(standalone_run(lora(tiny_model()), tiny_tokenizer()), say=said.append)
    defense = NaturalRepair(harmful=HARMFUL, safe=REFUSALS, length=0.1, steps=1, **FREE)
    defense.after(run)
    assert any("over-refusal is not measured" in line for line in said)
    said.clear()
    replace(defense, lookalike=LOOKS, validation=BENIGN).after(run)
    assert not any("not measured" in line for line in said)
