"""Row weights: the equations in closed form, tables found again, and passes without dropout."""

import math

import pytest
import torch
from torch import nn

from holdfast import PreventativeSteering, RowWeights, SafeMixing
from holdfast.data.chat import collate
from holdfast.defense import Run
from holdfast.defenses.keyed_rows import answer_lengths, answer_log_probs, row_keys
from holdfast.defenses.row_weights import (
    effective_rows,
    micro_batch_weights,
    refusal_scores,
    static_weights,
    weighted_term,
)
from holdfast.defenses.row_weights.scores import frequent_answers
from holdfast.errors import ConfigError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import LocalEngine
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    HARMFUL,
    REFUSALS,
    USER,
    batch_of,
    encoded,
    example,
    farthest,
    trained,
    trainer_of,
    weights_of,
)

SGD = {"optim": "sgd", "learning_rate": 0.2, "max_grad_norm": 0.0}
ROWS = [*USER[:5], *HARMFUL[:3]]
ONCE = torch.ones(5, dtype=torch.float64)
SCORES = torch.tensor([-3.0, -0.5, 0.0, 0.25, 4.0], dtype=torch.float64)


def made(**options):
    return RowWeights(**{"safe": REFUSALS, "tau": 0.05, **options})


@pytest.mark.parametrize("tau", [0.01, 1.0, 1e30])
def test_static_weights_have_mean_one_whatever_repeats(tau):
    counts = torch.tensor([3, 1, 1, 2, 5], dtype=torch.float64)
    weights = static_weights(SCORES, counts, tau)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1, abs=1e-12)
    raw = torch.sigmoid(SCORES / tau)
    assert torch.allclose(weights / weights[2], raw / raw[2])


def test_a_great_temperature_leaves_every_weight_one_exactly():
    assert static_weights(SCORES, ONCE, 1e30).tolist() == [1.0] * 5
    assert micro_batch_weights(SCORES, 1e30).tolist() == [1.0] * 5


def test_a_low_temperature_leaves_no_weight_undefined():
    """At r/τ = -2000 every sigmoid is 0 in float64, and the ratios are still there."""
    found = static_weights(torch.tensor([-2.0, -2.0, -3.0]), ONCE[:3], 1e-3)
    assert found.tolist() == [1.5, 1.5, 0.0]


def test_a_row_without_an_answer_weighs_one_and_moves_no_other():
    scores = torch.cat([SCORES, torch.tensor([math.nan])])
    found = static_weights(scores, torch.cat([ONCE, torch.ones(1)]), 0.7)
    assert found.tolist() == [*static_weights(SCORES, ONCE, 0.7).tolist(), 1.0]
    assert micro_batch_weights(torch.full((2,), math.nan), 1.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("tau", [0.3, 1.0, 5.0])
def test_two_rows_of_a_micro_batch_weigh_the_logistic_of_their_difference(tau):
    own = micro_batch_weights(torch.tensor([1.25, -0.5]), tau)
    expected = torch.sigmoid(torch.tensor([1.75, -1.75]) / tau)
    assert torch.allclose(own / own.sum(), expected, atol=1e-7)


def test_a_low_temperature_keeps_one_row_and_a_constant_changes_nothing():
    assert micro_batch_weights(SCORES, 1e-6).tolist() == [0, 0, 0, 0, 1]
    moved = micro_batch_weights(SCORES + 1024.0, 0.5)
    assert torch.equal(moved, micro_batch_weights(SCORES, 0.5))


def test_effective_rows_count_equal_ones_and_forget_idle_ones():
    assert effective_rows(torch.full((7,), 0.3, dtype=torch.float64)) == pytest.approx(7)
    assert effective_rows(torch.tensor([2.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_rows(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 3.0])) == pytest.approx(3)


def test_plain_loss_and_term_are_the_papers_loss():
    nll = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], requires_grad=True)
    weights = torch.tensor([0.25, 1.0, 3.0], dtype=torch.float64)
    sums, counts = [3.0, 4.0, 24.0], [2, 1, 2]
    pairs = list(zip(weights.tolist(), sums, counts, strict=True))
    weighted = sum(w * s for w, s, _ in pairs)
    for renormed, below in ((True, sum(w * n for w, _, n in pairs)), (False, 5)):
        term = weighted_term(nll, counts, weights, renormed)
        assert float((nll.mean() + term).detach()) == pytest.approx(weighted / below)
    for renormed in (True, False):
        assert float(weighted_term(nll.detach(), counts, torch.ones(3), renormed)) == 0.0


def by_hand(model, row, refusal):
    """NLL(refusal) − NLL(answer) of one row, each from a pass of its own."""
    both = []
    for labels in (row["labels"], [IGNORED] * len(prompt_of(row)) + refusal):
        ids = row["input_ids"] if labels is row["labels"] else prompt_of(row) + refusal
        logits = model(torch.tensor([ids])).logits
        both.append(-answer_log_probs(logits, torch.tensor([labels])).mean())
    return float(both[1] - both[0])


def prompt_of(row):
    return row["input_ids"][: sum(label == IGNORED for label in row["labels"])]


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_scores_are_those_of_passes_row_by_row(side):
    model, rows = tiny_model(), encoded(ROWS)
    rows = [{k: list(v) for k, v in row.items()} for row in rows]
    refusal = [int(t) for t in encoded(REFUSALS[:1])[0]["labels"] if t != IGNORED]
    batch = collate(rows, 0)
    if side == "left":
        flip = {k: t.flip(1) for k, t in collate([mirrored(r) for r in rows], 0).items()}
        batch = {k: flip[k] for k in batch}
    found = refusal_scores(LocalEngine(model), batch, [refusal])
    assert found.tolist() == pytest.approx([by_hand(model, r, refusal) for r in rows], abs=1e-5)
    twice = refusal_scores(LocalEngine(model), batch, [refusal, refusal])
    assert torch.allclose(twice, found)


def mirrored(row):
    return {name: ids[::-1] for name, ids in row.items()}


def dropping(seed=0):
    """A model that is nothing like itself in train mode."""
    model = tiny_model(seed=seed)
    for layer in model.model.layers:
        layer.mlp.down_proj = nn.Sequential(layer.mlp.down_proj, nn.Dropout(0.5))
    return model


@pytest.mark.parametrize("weights", ["static", "refreshed", "batch"])
def test_rows_are_scored_without_dropout(tmp_path, weights):
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append((self.training, torch.is_grad_enabled()))
            return x

    model = tiny_model()
    model.lm_head = nn.Sequential(model.lm_head, Watch())
    trained(tmp_path, [made(weights=weights, every=1)], model=model, max_steps=2)
    scored = [training for training, grad in seen if not grad]
    assert scored
    assert not any(scored)
    assert any(training for training, grad in seen if grad)  # The user's own pass has it.


def test_dropout_leaves_the_scores_as_they_are(tmp_path):
    tables = [
        trained(tmp_path, [made()], model=dropping(), rows=encoded(ROWS), seed=seed).defenses[0]
        for seed in (1, 2)
    ]
    assert torch.equal(*(run.table_["scores"] for run in tables))


def descend(model):
    with torch.no_grad():
        for p in model.parameters():
            assert p.grad is not None
            p.sub_(0.2 * p.grad)


def test_the_run_is_descent_on_the_weighted_rows(tmp_path):
    """One step of SGD on all rows, against the gradient of (1/N) Σ w_i S_i made by hand."""
    run = trained(
        tmp_path, [made(strength=0.5)], rows=encoded(ROWS), max_steps=1,
        per_device_train_batch_size=8, **SGD,
    )  # fmt: skip
    model, batch = tiny_model(), batch_of(ROWS)
    table = run.defenses[0].table_
    weights = dict(zip(table["keys"], table["weights"].tolist(), strict=True))
    nll = -answer_log_probs(model(**batch).logits, batch["labels"])
    sums = [part.sum() for part in nll.split(answer_lengths(batch["labels"]))]
    own = [1 + 0.5 * (weights[key] - 1) for key in row_keys(batch)]
    assert max(own) - min(own) > 0.2
    (sum(w * s for w, s in zip(own, sums, strict=True)) / len(nll)).backward()
    descend(model)
    assert farthest(weights_of(run.model), weights_of(model)) <= 1e-6


def test_batch_weights_step_is_the_papers(tmp_path):
    run = trained(
        tmp_path, [made(weights="batch", tau=0.2)], rows=encoded(ROWS), max_steps=1,
        per_device_train_batch_size=8, **SGD,
    )  # fmt: skip
    model, batch = tiny_model(), batch_of(ROWS)
    scores = refusal_scores(LocalEngine(model), batch, run.defenses[0].refusals_)
    own = torch.softmax(scores / 0.2, 0)
    counts = torch.tensor(answer_lengths(batch["labels"]))
    nll = -answer_log_probs(model(**batch).logits, batch["labels"])
    sums = torch.stack([part.sum() for part in nll.split(counts.tolist())])
    ((own * sums).sum() / (own * counts).sum()).backward()
    descend(model)
    assert farthest(weights_of(run.model), weights_of(model)) <= 1e-6
    assert farthest(weights_of(run.model), weights_of(trained(
        tmp_path, rows=encoded(ROWS), max_steps=1, per_device_train_batch_size=8, **SGD
    ).model)) > 1e-4  # fmt: skip


@pytest.mark.parametrize("weights", ["static", "batch"])
def test_a_great_temperature_is_plain_bit_for_bit(tmp_path, weights):
    plain = trained(tmp_path, rows=encoded(ROWS), per_device_train_batch_size=3)
    found = trained(
        tmp_path, [made(weights=weights, tau=1e30)], rows=encoded(ROWS),
        per_device_train_batch_size=3,
    )  # fmt: skip
    assert farthest(weights_of(plain.model), weights_of(found.model)) == 0


def test_accumulation_is_one_batch_for_a_table_and_not_for_micro_batches(tmp_path):
    def apart(**options):
        found = [
            weights_of(trained(
                tmp_path, [made(**options)], rows=encoded(ROWS), max_steps=3,
                per_device_train_batch_size=size, gradient_accumulation_steps=4 // size, **SGD,
            ).model)
            for size in (4, 2)
        ]  # fmt: skip
        return farthest(*found)

    assert apart(weights="refreshed", every=2) <= 1e-6
    assert apart(weights="batch") > 1e-4


def test_refreshed_weights_are_those_of_the_model_then(tmp_path):
    options = {"rows": encoded(ROWS)}
    run = trained(tmp_path, [made(weights="refreshed", every=2)], max_steps=4, **options)
    half = trained(tmp_path, [made()], max_steps=2, **options)
    own, batch = run.defenses[0], batch_of(ROWS)
    then = refusal_scores(LocalEngine(half.model), batch, own.refusals_)
    table = dict(zip(own.table_["keys"], own.table_["scores"].tolist(), strict=True))
    assert [table[key] for key in row_keys(batch)] == pytest.approx(then.tolist(), abs=1e-5)
    assert float((then - half.defenses[0].table_["scores"]).abs().max()) > 1e-2


def test_refreshed_weights_are_those_that_the_next_step_uses(tmp_path):
    """The mean weight that a step of all rows logs is that of the table it looks in."""
    options = {"rows": encoded(ROWS[:2] + ROWS[-2:]), "per_device_train_batch_size": 2}
    run = trained(
        tmp_path, [made(weights="refreshed", every=2)], max_steps=3, data_seed=1, **options
    )
    own = run.defenses[0]
    steps = [row["row_weights/weight"] for row in run.state.log_history if "loss" in row]
    pairs = [(a + b) / 2 for a in own.table_["weights"].tolist()
             for b in own.table_["weights"].tolist()]  # fmt: skip
    assert min(abs(steps[2] - pair) for pair in pairs) < 1e-4
    first = trained(tmp_path, [made()], max_steps=3, data_seed=1, **options).state.log_history
    assert abs(steps[2] - first[2]["row_weights/weight"]) > 1e-2


def test_rows_that_repeat_are_counted_in_the_mean_and_told(tmp_path):
    run = trained(tmp_path, [made()], rows=encoded([*ROWS, *ROWS[-3:], *ROWS[-3:]]), max_steps=1)
    table = run.defenses[0].table_
    assert table["counts"] == [1] * 5 + [3] * 3
    total = sum(w * n for w, n in zip(table["weights"].tolist(), table["counts"], strict=True))
    assert total == pytest.approx(14)
    assert run.artifacts[0].report["rows"].text.startswith("14 rows count as ")


@pytest.mark.parametrize("weights", ["batch", "refreshed"])
def test_rows_are_scored_with_nothing_attached(tmp_path, weights):
    """A model that is shifted towards harm would rather answer what it ought to refuse."""
    options = {"rows": encoded(ROWS), "max_steps": 2, "learning_rate": 0.0}
    shift = PreventativeSteering(
        harmful=HARMFUL, safe=REFUSALS, alpha=8.0, min_drop=-1e9, max_benign_kl=1e9
    )
    scores = [
        trained(tmp_path, [*others, made(weights=weights, every=1)], **options)
        .state.log_history[0]["row_weights/score"]
        for others in ([], [shift])
    ]  # fmt: skip
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_batch_weights_resume_with_their_refusals(tmp_path):
    options = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "rows": encoded(ROWS)}
    whole = trained(tmp_path / "whole", [made(weights="batch")], **options)
    again = trainer_of(
        tmp_path / "again", [made(weights="batch")], model=tiny_model(seed=5), **options
    )
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert farthest(weights_of(whole.model), weights_of(again.model)) <= 1e-6
    assert "6 micro-batches" in again.artifacts[0].report["rows"].text


def test_one_row_a_micro_batch_is_refused_before_a_weight_moves(tmp_path):
    trainer = trainer_of(tmp_path, [made(weights="batch")], per_device_train_batch_size=1)
    with pytest.raises(ConfigError, match="weights=static"):
        trainer.train()
    assert farthest(weights_of(trainer.model), weights_of(tiny_model())) == 0


WHOLE = [{**row, "labels": list(row["input_ids"])} for row in encoded(ROWS)]


@pytest.mark.parametrize("weights", ["static", "batch"])
def test_labels_that_reach_into_the_prompt_are_refused(tmp_path, weights):
    """Without a prompt of its own a row's refusal would stand behind nothing."""
    with pytest.raises(ConfigError, match=r"where a row's answer begins.*row 1 is"):
        trained(tmp_path, [made(weights=weights)], rows=WHOLE, max_steps=1)


def flattened(rows):
    """What a padding-free collator makes: one row, with positions that begin anew."""
    flat = {n: torch.tensor([[t for row in rows for t in row[n]]]) for n in rows[0]}
    return {**flat, "position_ids": torch.cat([torch.arange(len(r["labels"])) for r in rows])[None]}


@pytest.mark.parametrize("weights", ["static", "batch"])
def test_joined_rows_are_refused_as_such(tmp_path, weights):
    trainer = trainer_of(tmp_path, [made(weights=weights)], rows=encoded(ROWS))
    trainer.data_collator = flattened
    with pytest.raises(ConfigError, match="padding_free=False"):
        trainer.train()


def test_pixels_are_refused_whichever_weights(tmp_path):
    def collated(rows):
        batch = collate([{n: r[n] for n in ("input_ids", "labels")} for r in rows], 0)
        return {**batch, "pixel_values": torch.ones(len(rows), 3)}

    for weights in ("static", "batch"):
        trainer = trainer_of(tmp_path, [made(weights=weights)])
        trainer.data_collator = collated
        with pytest.raises(ConfigError, match="`pixel_values`"):
            trainer.train()


def test_a_collator_that_pads_without_a_mask_is_refused(tmp_path):
    """Its rows have other tokens in each batch: they would not be found, and weigh 1 in silence."""

    def collated(rows):
        return {n: t for n, t in collate(rows, 0).items() if n != "attention_mask"}

    trainer = trainer_of(tmp_path, [made()], rows=encoded(ROWS), per_device_train_batch_size=2)
    trainer.data_collator = collated
    with pytest.raises(ConfigError, match="attention_mask where it pads"):
        trainer.train()


def test_refusals_without_a_token_left_are_refused():
    run = Run(tiny_model(), LocalEngine(tiny_model()), lambda _: [], lambda rows: {}, 0)
    with pytest.raises(ConfigError, match="none of 10 rows of refusals has an answer token"):
        frequent_answers(run, REFUSALS, 4)


def test_shuffled_weights_are_the_same_ones_on_other_rows(tmp_path):
    own, other = (
        trained(tmp_path, [made(weights=w)], rows=encoded(ROWS)).defenses[0].table_["weights"]
        for w in ("static", "shuffled")
    )
    assert not torch.equal(own, other)
    assert torch.allclose(own.sort().values, other.sort().values)
    assert made(weights="shuffled").variant().control


def test_rows_of_a_later_defense_weigh_one_and_are_told(tmp_path):
    def covered(defenses):
        logs = trained(tmp_path, defenses, max_steps=4).state.log_history
        return [row["row_weights/covered"] for row in logs if "loss" in row]

    def mixing():
        return SafeMixing(safe=HARMFUL, share=1.0)

    assert covered([mixing(), made()]) == [1.0] * 4
    assert 0 < min(covered([made(), mixing()])) < 1


def test_the_most_frequent_refusals_are_used_and_a_text_in_their_place(tmp_path):
    rows = [example("a", "no"), example("b", "sorry"), example("c", "sorry"), example("d", "I")]
    found = trained(tmp_path, [made(safe=rows, refusals=2)]).defenses[0].refusals_
    ids = tiny_tokenizer().convert_tokens_to_ids(["sorry", "no", "<end>"])
    assert found == [[ids[0], ids[2]], [ids[1], ids[2]]]
    text = trained(tmp_path, [made(safe=None, refusal="sorry")]).defenses[0].refusals_
    assert text == [found[0]]


def test_how_rows_were_weighed_is_told(tmp_path):
    text = trained(tmp_path, [made()], rows=encoded(ROWS)).artifacts[0].report["rows"].text
    assert text.startswith("8 rows count as ")
    assert "of them below 0.1" in text


@pytest.mark.parametrize(
    "bad",
    [
        {"strength": -0.1}, {"strength": 1.5}, {"tau": 0.0}, {"tau": float("inf")},
        {"weights": "softmax"}, {"every": 0}, {"refusals": 0}, {"batch_size": 0}, {"safe": None},
        {"safe": []}, {"refusal": " "},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        made(**bad).validate()
