"""One-shot repair: its update, its rank, the row it takes, its budgets, and what trials leave."""

from contextlib import suppress
from typing import Any

import pandas
import pytest
import torch
from datasets import Dataset
from torch import nn

from holdfast import NaturalRepair, OneShot, RunError, apply_one_shot, repair
from holdfast.defenses.one_shot import objective as scoring
from holdfast.defenses.one_shot import one_shot as method
from holdfast.defenses.one_shot import truncated
from holdfast.defenses.one_shot.objective import Objective, Score, drift, predicted
from holdfast.defenses.one_shot.rows import pool_of
from holdfast.defenses.one_shot.updates import How, Updates
from holdfast.errors import ConfigError, ModelError
from holdfast.ops.agreement import agreement, answer_logits
from holdfast.ops.engine import LocalEngine
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    REFUSALS,
    batch_of,
    encoded,
    example,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)
from tests.zoo import zoo_model

LOOKS = [example(f"how to draw a {n}", f"with {n} lines") for n in range(10)]
ONE = [REFUSALS[0]]
RANK_2 = How("adamw", 1e-2, 2)
TOKENS = batch_of(ONE)["input_ids"].shape[1]
FREE: dict[str, Any] = {"max_task_drop": 1.0, "max_over_refusal": 1.0, "max_new_tokens": 2}


def repaired(model: nn.Module, safe: Any = REFUSALS, **options: Any):
    """Repair the model in place with settings that spend no time."""
    given = {"steps": 1, "lr": 0.1, "candidates": 1, "optimizer": "sgd", **FREE, **options}
    return apply_one_shot(model, safe, tiny_tokenizer(), **given)


def moved(model: nn.Module, before: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: w - before[name] for name, w in weights_of(model).items()}


def ranks(change: dict[str, torch.Tensor]) -> list[int]:
    """The ranks of all matrices; singular values under 1e-6 are the rounding of the weights."""
    matrices = [t.double() for t in change.values() if t.dim() == 2]
    return [int(torch.linalg.matrix_rank(m, atol=1e-6, rtol=0.0)) for m in matrices]


@pytest.mark.parametrize("peft", [True, False])
def test_no_step_leaves_every_bit(peft: bool):
    model = lora(tiny_model()) if peft else tiny_model()
    before = weights_of(model)
    artifact = repaired(model, steps=0, validation=BENIGN, lookalike=LOOKS)
    assert farthest(weights_of(model), before) == 0
    assert artifact.report == {"norm": 0.0, "steps": 0.0}


@pytest.mark.parametrize("peft", [True, False])
def test_one_step_of_sgd_is_the_weights_less_the_rate_times_the_gradient(peft: bool):
    model = lora(tiny_model()) if peft else tiny_model()
    before = weights_of(model)
    gradient, _ = LocalEngine(model).gradients([batch_of(ONE)])
    repaired(model, ONE, lr=0.3)
    wanted = {n: w.add(gradient[n], alpha=-0.3) for n, w in before.items()}
    assert farthest(weights_of(model), wanted) == 0
    assert farthest(wanted, before) > 1e-3


def test_steps_of_adamw_are_torchs_own_on_that_row_alone():
    model, other = tiny_model(), tiny_model()
    repaired(model, ONE, steps=3, lr=1e-3, optimizer="adamw")
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        LocalEngine(other).loss(batch_of(ONE)).backward()
        optimizer.step()
    assert farthest(weights_of(model), weights_of(other)) == 0


@pytest.mark.parametrize(("optimizer", "steps"), [("sgd", 1), ("sgd", 3), ("adamw", 3)])
@pytest.mark.parametrize("rank", [1, 3])
def test_no_matrix_changes_by_more_than_the_rank(rank: int, optimizer: str, steps: int):
    model = tiny_model()
    before = weights_of(model)
    lr = 0.3 if optimizer == "sgd" else 0.01
    repaired(model, ONE, optimizer=optimizer, steps=steps, lr=lr, rank=rank)
    found = ranks(moved(model, before))
    assert max(found) == rank
    free = tiny_model()
    repaired(free, ONE, optimizer=optimizer, steps=steps, lr=lr)
    assert max(ranks(moved(free, before))) > 3, "nothing had to be cut"


def test_one_step_within_a_rank_is_the_nearest_one_to_the_gradient():
    model = tiny_model()
    before = weights_of(model)
    gradient, _ = LocalEngine(model).gradients([batch_of(ONE)])
    repaired(model, ONE, lr=0.3, rank=2)
    for name, change in moved(model, before).items():
        if change.dim() < 2:
            continue
        values = torch.linalg.svdvals(gradient[name].double())
        apart = torch.linalg.vector_norm(change.double() + 0.3 * gradient[name].double())
        assert float(apart) == pytest.approx(0.3 * float(values[2:].norm()), abs=1e-6)


def test_a_rank_of_the_rows_tokens_is_the_full_step():
    """A gradient of a weight is a sum over tokens, so one step has no more than their number."""
    assert TOKENS < 32, "the row is shorter than the model is wide"
    full, bound = tiny_model(), tiny_model()
    before = weights_of(full)
    repaired(full, ONE, lr=1.0)
    repaired(bound, ONE, lr=1.0, rank=TOKENS)
    assert max(ranks(moved(full, before))) <= TOKENS
    assert farthest(weights_of(full), weights_of(bound)) < 2e-6
    repaired(shorter := tiny_model(), ONE, lr=1.0, rank=1)
    assert farthest(weights_of(full), weights_of(shorter)) > 1e-3


def test_of_a_stack_each_matrix_has_the_rank_and_a_vector_is_whole():
    rng = torch.Generator().manual_seed(0)
    stack, vector = torch.randn(3, 5, 4, generator=rng), torch.randn(6, generator=rng)
    near = truncated(stack, 2)
    assert [int(torch.linalg.matrix_rank(m, rtol=1e-5)) for m in near] == [2, 2, 2]
    assert truncated(vector, 1) is vector
    assert truncated(stack, 4) is stack


@pytest.mark.parametrize("fails", [False, True])
def test_updates_leave_the_model_as_it_was_to_the_bit(fails: bool):
    model = lora(tiny_model())
    before, own = weights_of(model), [p for p in model.parameters() if p.requires_grad]
    for p in own:
        p.grad = torch.ones_like(p)
    with suppress(ValueError), Updates(LocalEngine(model), batch_of(ONE), RANK_2) as updates:
        updates.go(2)
        assert farthest(weights_of(model), before) > 1e-3
        if fails:
            raise ValueError
    assert farthest(weights_of(model), before) == 0
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in own if p.grad is not None)


def test_after_an_error_in_a_trial_the_model_is_as_it_was(monkeypatch: pytest.MonkeyPatch):
    model = lora(tiny_model())
    before = weights_of(model)

    def broken(_: Objective) -> Score:
        assert farthest(weights_of(model), before) > 0, "no trial update was made"
        raise OSError("broken")

    monkeypatch.setattr(scoring.Objective, "score", broken)
    with pytest.raises(OSError, match="broken"):
        repaired(model, candidates=3)
    assert farthest(weights_of(model), before) == 0


def test_a_row_whose_trial_is_no_number_is_not_taken(monkeypatch: pytest.MonkeyPatch):
    """A minimum over NaN is whatever stands first."""
    scores = iter([Score(float("nan"), 0.0), Score(2.0, 0.0), Score(1.0, 0.5)])
    monkeypatch.setattr(scoring.Objective, "score", lambda _: next(scores))
    made = repaired(lora(tiny_model()), candidates=3)
    assert made.documents["row"]["chosen"] == 2


def test_an_update_that_is_no_number_leaves_the_model_alone(monkeypatch: pytest.MonkeyPatch):
    model = tiny_model()
    before, update = weights_of(model), Updates._update

    def overflows(self: Updates) -> None:
        update(self)
        with torch.no_grad():
            next(iter(self._engine.parameters().values())).fill_(float("inf"))

    monkeypatch.setattr(Updates, "_update", overflows)
    with pytest.raises(RunError, match="smaller lr"):
        repaired(model, ONE)
    assert farthest(weights_of(model), before) == 0


def test_the_objective_is_the_sum_of_both_divergences():
    model = lora(tiny_model())
    engine, refusals, task = LocalEngine(model), [batch_of(REFUSALS)], [batch_of(BENIGN)]

    def logs(batch: Any) -> torch.Tensor:
        return answer_logits(engine, batch).double().log_softmax(-1)

    with torch.no_grad():
        tuned = logs(task[0])
        with model.disable_adapter():
            aligned = logs(refusals[0])
    objective = Objective(engine, refusals, task, model.disable_adapter())
    start = objective.score()
    assert start.task == pytest.approx(0.0, abs=1e-6)
    with Updates(engine, batch_of(ONE), How("sgd", 0.5)) as updates, torch.no_grad():
        updates.go(1)
        score = objective.score()
        one = (aligned.exp() * (aligned - logs(refusals[0]))).sum(-1).mean()
        two = (tuned.exp() * (tuned - logs(task[0]))).sum(-1).mean()
    assert score.harmful == pytest.approx(float(one), rel=1e-4)
    assert score.task == pytest.approx(float(two), rel=1e-4)
    assert score.total == score.harmful + score.task
    assert score.task > 1e-4


def test_a_divergence_is_a_mean_over_tokens_and_not_over_batches():
    engine, other_model = LocalEngine(tiny_model()), LocalEngine(tiny_model(seed=3))
    rows = [*BENIGN[:3], example("what is 1 plus 2", "the answer is the sum of 1 plus 2")]
    apart, whole = [batch_of(rows[:3]), batch_of(rows[3:])], [batch_of(rows)]
    references = predicted(other_model, apart), predicted(other_model, whole)
    one, other = (drift(engine, reference) for reference in references)
    assert one == pytest.approx(other, rel=1e-4)
    assert drift(engine, []) == 0


def test_the_row_with_the_least_score_is_the_one_that_is_learned():
    model, judge = lora(tiny_model()), lora(tiny_model())
    artifact = repaired(
        model, candidates=4, trial_steps=2, steps=2, validation=BENIGN, judged=5, seed=3
    )
    found = artifact.documents["row"]
    pool = pool_of(OneShot(safe=REFUSALS, candidates=4, judged=5), REFUSALS, 3)
    assert all(row not in pool.judged for row in pool.candidates)
    engine = LocalEngine(judge)
    task = batch_of(
        pool_of(OneShot(validation=BENIGN, judged=5), REFUSALS, 3).measured.measured[:5]
    )
    objective = Objective(engine, [batch_of(pool.judged)], [task], judge.disable_adapter())
    totals = list[float]()
    for row in pool.candidates:
        with Updates(engine, batch_of([row]), How("sgd", 0.1)) as updates:
            updates.go(2)
            totals.append(objective.score().total)
    assert [sum(t.values()) for t in found["trials"]] == pytest.approx(totals, rel=1e-4)
    best = totals.index(min(totals))
    assert len({round(t, 4) for t in totals}) > 1
    assert found["chosen"] == best
    assert found["row"] == pool.candidates[best]
    repaired(alone := lora(tiny_model()), [pool.candidates[best]], steps=2)
    assert farthest(weights_of(alone), weights_of(model)) == 0


def test_without_the_aligned_model_the_loss_of_refusals_stands_for_it(tmp_path: Any):
    model = tiny_model()
    told = repaired(model, candidates=3, aligned=None).documents["row"]["trials"]
    pool = pool_of(OneShot(candidates=3), REFUSALS, 0)
    engine = LocalEngine(tiny_model())
    with Updates(engine, batch_of([pool.candidates[0]]), How("sgd", 0.1)) as updates:
        updates.go(1)
        loss = agreement(engine, [batch_of(pool.judged)])[0]
    assert told[0]["harmful"] == pytest.approx(loss, rel=1e-5)
    tiny_model(seed=3).save_pretrained(tmp_path)
    with_it = repaired(tiny_model(), candidates=3, aligned=str(tmp_path))
    assert with_it.documents["row"]["trials"][0]["harmful"] != pytest.approx(loss, rel=1e-2)


def test_the_same_seed_draws_the_same_rows_in_whatever_order_they_came():
    repair_ = OneShot(candidates=4)
    first, again = (pool_of(repair_, rows, 7) for rows in (REFUSALS, REFUSALS[::-1]))
    assert first == again
    assert pool_of(repair_, REFUSALS, 8).candidates != first.candidates
    few = pool_of(repair_, REFUSALS[:3], 0)
    assert sorted(map(str, few.candidates)) == sorted(map(str, few.judged))


def test_rows_of_pandas_and_of_numpy_are_drawn_as_lists_are(tmp_path: Any):
    """Their lists of messages are arrays of objects, and ended in a traceback."""
    wanted = pool_of(OneShot(candidates=4), REFUSALS, 7)
    Dataset.from_list(REFUSALS).to_parquet(tmp_path / "rows.parquet")
    frame = pandas.read_parquet(tmp_path / "rows.parquet").to_dict("records")
    for rows in (frame, Dataset.from_list(REFUSALS).with_format("numpy")):
        assert pool_of(OneShot(candidates=4), rows, 7) == wanted


@pytest.mark.parametrize("budget", ["max_task_drop", "max_over_refusal"])
def test_a_budget_of_nothing_leaves_the_model_alone(budget: str):
    model = lora(tiny_model())
    before = weights_of(model)
    artifact = repaired(model, validation=BENIGN, lookalike=LOOKS, steps=3, **{budget: 0.0})
    assert farthest(weights_of(model), before) == 0
    assert artifact.report["steps"] == 0


def test_it_stops_before_the_first_update_over_budget(monkeypatch: pytest.MonkeyPatch):
    """Over-refusal rises with the third update, and the second is what is left, to the bit."""
    real, seen = method.Looks.place, list[float]()

    def place(self: Any, steps: float) -> Any:
        seen.append(steps)
        found = real(self, steps)
        return type(found)(**{**found.row(), "over_refusal": 0.3 if steps >= 3 else 0.1})

    monkeypatch.setattr(method.Looks, "place", place)
    model, two = lora(tiny_model()), lora(tiny_model())
    how = {"validation": BENIGN, "lookalike": LOOKS, "max_over_refusal": 0.1}
    artifact = repaired(model, ONE, steps=9, **how)
    assert seen == [0, 1, 2, 3]
    assert artifact.report["steps"] == 2
    assert next(iter(artifact.report)) == "over_refusal"
    assert artifact.report["over_refusal"] == [0.1, 0.1]
    monkeypatch.undo()
    repaired(two, ONE, steps=2)
    assert farthest(weights_of(model), weights_of(two)) == 0


def test_enough_is_looked_for_where_nothing_else_is_measured():
    artifact = repaired(tiny_model(), ONE, steps=5, lr=1e-3, enough=1.0)
    assert artifact.report["steps"] == 1
    assert artifact.report["answered"][1] is not None


def test_what_is_kept_apart_is_what_was_added_and_is_private(tmp_path: Any):
    model = lora(tiny_model())
    before = weights_of(model)
    artifact = repaired(model, validation=BENIGN, lookalike=LOOKS, steps=2)
    assert artifact.private
    assert farthest(artifact.tensors["perturbation"], moved(model, before)) == 0
    folder = artifact.save(tmp_path)
    assert (folder / "safety_patch" / "adapter_model.safetensors").is_file()
    assert len(artifact.documents["perturbation"]["row_losses"]) == 2
    said = artifact.documents["perturbation"]["frontier"]
    assert [place["over_refusal"] is not None for place in said] == [True] * 3


def test_the_end_of_a_run_is_the_repair_of_what_it_left(tmp_path: Any):
    plain = trained(tmp_path / "plain", model=lora(tiny_model()))
    defense = OneShot(safe=REFUSALS, steps=2, lr=1e-2, candidates=2, **FREE)
    run = trained(tmp_path / "run", [defense], model=lora(tiny_model()))
    again = OneShot(safe=REFUSALS, steps=2, lr=1e-2, candidates=2, **FREE)
    repair(again, plain.model, tiny_tokenizer(), seed=1)
    assert farthest(weights_of(run.model), weights_of(plain.model)) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": -1}, "steps=-1"),
        ({"steps": 1.5}, r"steps=1\.5 must be a whole number"),
        ({"lr": -1.0}, r"lr=-1\.0"),
        ({"optimizer": "lion"}, "optimizer='lion' must be one of sgd, adamw"),
        ({"rank": -2}, "rank=-2"),
        ({"rank": 2.5}, r"rank=2\.5 must be a whole number"),
        ({"candidates": 0}, "candidates=0"),
        ({"trial_steps": 0}, "trial_steps=0"),
        ({"judged": 0}, "judged=0"),
        ({"max_task_drop": 2.0}, r"max_task_drop=2\.0"),
        ({"max_over_refusal": -0.1}, r"max_over_refusal=-0\.1"),
        ({"enough": 2.0}, r"enough=2\.0"),
        ({"refusals": "mine"}, "refusals='mine'"),
        ({"safe": None, "refusals": "rows"}, "safe=FILE"),
        ({"safe": None}, "harmful=FILE"),
        ({"safe": []}, "harmful=FILE"),
    ],
)
def test_bad_fields_are_refused_before_anything_runs(fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        OneShot(**{"safe": REFUSALS, **fields}).validate()


def test_refusals_of_the_aligned_model_need_it():
    with pytest.raises(ConfigError, match="aligned=DIR"):
        repair(OneShot(harmful=HARMFUL), tiny_model(), tiny_tokenizer())


@pytest.mark.parametrize("method_", [
    lambda aligned: OneShot(safe=REFUSALS, aligned=aligned),
    lambda aligned: NaturalRepair(harmful=HARMFUL, aligned=aligned),
], ids=["one_shot", "natural_repair"])  # fmt: skip
@pytest.mark.parametrize(("kind", "said"), [
    ("missing", "no such folder"), ("empty", "holds no"), ("smaller", "has shape"),
    ("another", "has no tensor"), ("experts", "stacked of experts"),
])  # fmt: skip
def test_an_aligned_folder_that_will_not_do_is_told_before_the_first_step(
    method_: Any, kind: str, said: str, tmp_path: Any
):
    """It was told when the whole run was over."""
    folder, model = tmp_path / "aligned", zoo_model("mixtral" if kind == "experts" else "llama")
    made = {"smaller": ("llama", {"intermediate_size": 8}), "another": ("gpt2", {}),
            "experts": ("mixtral", {})}  # fmt: skip
    if kind in made:
        arch, sizes = made[kind]
        zoo_model(arch, **sizes).save_pretrained(folder)
    if kind == "empty":
        folder.mkdir()
    with pytest.raises((ConfigError, ModelError), match=said):
        trainer_of(tmp_path / "run", [method_(str(folder))], model=model)


@pytest.mark.parametrize("field", ["harmful", "safe", "benign", "lookalike", "validation"])
@pytest.mark.parametrize("cls", [OneShot, NaturalRepair])
def test_rows_of_tokens_are_told_before_the_first_step(cls: Any, field: str, tmp_path: Any):
    """It was a KeyError when the whole run was over."""
    given: Any = {"harmful": HARMFUL, "safe": REFUSALS, field: encoded(BENIGN)}
    with pytest.raises(ConfigError, match=f"lets the model answer: give `{field}` as rows of"):
        trainer_of(tmp_path, [cls(**given)], model=lora(tiny_model()))


def test_a_row_that_nobody_chose_is_a_control():
    assert OneShot(candidates=1).variant().control
    assert not OneShot().variant().control
    assert OneShot(steps=0).variant().control
    assert OneShot(candidates=1, rank=4).variant().label == "drawn-rank-4"
