"""Constrained SFT: the weights, the gradient of the paper's objective, and rows found again."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from datasets import Dataset
from trl import SFTConfig

from holdfast import ConstrainedSFT, SafeMixing, SecureSFTTrainer
from holdfast.data.chat import collate
from holdfast.defenses.constrained_sft import (
    answer_positions,
    betas_at,
    constraint_term,
    token_weights,
)
from holdfast.defenses.keyed_rows import answer_log_probs
from holdfast.errors import ConfigError
from holdfast.ops.batches import IGNORED
from holdfast.ops.modules import trainable
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    REFUSALS,
    encoded,
    example,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

SGD = {"optim": "sgd", "learning_rate": 0.2, "max_grad_norm": 0.0}
WORDS = "zorba zorde zorki zorro mipba mipde mipki mipro"
ROWS = [
    example(f"what is {n} plus {k}", " ".join(WORDS.split()[k % 3 : k % 3 + 1 + n]))
    for k, n in enumerate((0, 3, 6, 7, 1, 5, 4, 2))
]
PAPER = (0.5, 2.0, 0.1, 5)


def test_positions_count_from_each_answers_first_token():
    x = IGNORED
    labels = torch.tensor([[x, x, 5, 6, 7, x, x, 8, 9], [x, 5, x, x, x, x, x, x, x]])
    assert answer_positions(labels).tolist() == [1, 2, 3, 1, 2, 1]


def test_betas_are_the_papers():
    found = betas_at(torch.arange(1, 9), *PAPER)
    assert found.tolist() == pytest.approx([0.5, 2, 2, 2, 2, 0.1, 0.1, 0.1])


def test_a_weight_falls_as_its_token_becomes_likelier():
    start = torch.tensor([-3.0, -3.0, -3.0])
    moved = start + torch.tensor([-50.0, 0.0, 50.0])
    assert token_weights(moved, start, torch.full((3,), 2.0)).tolist() == [2, 1, 0]
    assert token_weights(moved, start, torch.zeros(3)).tolist() == [1, 1, 1]
    assert not token_weights(moved.requires_grad_(), start, torch.ones(3)).requires_grad


def objective(log_probs, reference, beta):
    """The paper's token-wise objective, written as it prints it."""
    return -(2 / beta * F.logsigmoid(beta * (log_probs - reference))).mean()


def test_plain_loss_and_term_have_the_objectives_gradient():
    generator = torch.Generator().manual_seed(0)
    ours, reference = torch.randn(2, 8, generator=generator, dtype=torch.float64)
    beta = betas_at(torch.arange(1, 9), *PAPER).double()
    grads = []
    for loss in (
        lambda p: objective(p, reference, beta),
        lambda p: -p.mean() + constraint_term(p, token_weights(p, reference, beta)),
    ):
        p = ours.clone().requires_grad_()
        loss(p).backward()
        grads.append(p.grad)
    assert torch.allclose(*grads)


def by_hand(start, batches):
    """Gradient descent on the paper's objective, a second model as reference."""
    model, initial = start(), start()
    params = trainable(model)
    for batch in batches:
        labels = batch["labels"]
        beta = betas_at(answer_positions(labels), *PAPER)
        with torch.no_grad():
            reference = answer_log_probs(initial(**batch).logits, labels)
        model.zero_grad()
        objective(answer_log_probs(model(**batch).logits, labels), reference, beta).backward()
        with torch.no_grad():
            for p in params.values():
                assert p.grad is not None
                p.sub_(0.2 * p.grad)
    return weights_of(model)


def watched(trainer):
    """Train, and return the batches of the steps."""
    seen, own = [], trainer.training_step

    def watching(model, inputs, *args):
        seen.append(dict(inputs))
        return own(model, inputs, *args)

    trainer.training_step = watching
    trainer.train()
    return seen


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_a_shuffled_run_is_descent_on_the_papers_objective(tmp_path, adapted):
    def start():
        return lora(tiny_model()) if adapted else tiny_model()

    rows = encoded(ROWS + ROWS[:3])  # Some occur twice.
    trainer = trainer_of(
        tmp_path, [ConstrainedSFT(batch_size=3)], model=start(), rows=rows,
        max_steps=6, per_device_train_batch_size=2, **SGD,
    )  # fmt: skip
    expected = by_hand(start, watched(trainer))
    assert farthest(weights_of(trainer.model), expected) <= 1e-5
    plain = trained(
        tmp_path, model=start(), rows=rows, max_steps=6, per_device_train_batch_size=2,
        **SGD,
    )  # fmt: skip
    assert farthest(weights_of(plain.model), expected) > 1e-3


def test_accumulated_micro_batches_are_one_batch(tmp_path):
    found = []
    for size, micros in ((4, 1), (1, 4)):
        run = trained(
            tmp_path, [ConstrainedSFT()], rows=encoded(ROWS), max_steps=5,
            per_device_train_batch_size=size, gradient_accumulation_steps=micros, **SGD,
        )  # fmt: skip
        found.append(weights_of(run.model))
    assert farthest(*found) <= 1e-6


def test_resume_keeps_the_reference_of_the_first_run(tmp_path):
    options = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "rows": encoded(ROWS)}
    whole = trained(tmp_path / "whole", [ConstrainedSFT()], **options)
    # The resuming script starts from other weights: only the checkpoint knows the initial ones.
    again = trainer_of(tmp_path / "again", [ConstrainedSFT()], model=tiny_model(seed=5), **options)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert farthest(weights_of(whole.model), weights_of(again.model)) <= 1e-6


def test_rows_of_a_later_defense_train_with_weight_one(tmp_path):
    def covered(defenses):
        logs = trained(tmp_path, defenses, max_steps=4).state.log_history
        return [row["constrained_sft/covered"] for row in logs if "loss" in row]

    def mixing():
        return SafeMixing(safe=REFUSALS, share=1.0)

    assert covered([mixing(), ConstrainedSFT()]) == [1.0] * 4
    assert 0 < min(covered([ConstrainedSFT(), mixing()])) < 1


def sft(folder, rows=ROWS, **options):
    args = SFTConfig(
        str(folder), max_steps=2, per_device_train_batch_size=2, use_cpu=True, bf16=False,
        report_to="none", disable_tqdm=True, save_strategy="no", logging_steps=1, **options,
    )  # fmt: skip
    return SecureSFTTrainer(
        model=tiny_model(), args=args, processing_class=tiny_tokenizer(),
        train_dataset=Dataset.from_list(rows), defenses=[ConstrainedSFT()],
    )  # fmt: skip


def test_sft_trainers_rows_are_all_found(tmp_path):
    trainer = sft(tmp_path)
    trainer.train()
    logs = [row for row in trainer.state.log_history if "loss" in row]
    assert [row["constrained_sft/covered"] for row in logs] == [1.0, 1.0]
    assert logs[0]["constrained_sft/weight"] == pytest.approx(1.0, abs=1e-4)


def test_packed_data_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="packing=False"):
        sft(tmp_path, packing=True, max_length=64).train()


def test_streamed_data_are_refused(tmp_path):
    stream = Dataset.from_list(encoded()).to_iterable_dataset()
    with pytest.raises(ConfigError, match="stream"):
        trainer_of(tmp_path, [ConstrainedSFT()], rows=stream).train()


def test_a_collator_that_joins_rows_is_refused(tmp_path):
    trainer = trainer_of(tmp_path, [ConstrainedSFT()])
    trainer.data_collator = lambda rows: collate(
        [{k: [v for r in rows for v in r[k]] for k in ("input_ids", "labels")}], 0
    )
    with pytest.raises(ConfigError, match="padding_free=False"):
        trainer.train()


def test_a_collator_that_draws_tokens_is_refused(tmp_path):
    trainer = trainer_of(tmp_path, [ConstrainedSFT()])

    def noisy(rows):
        batch = collate(rows, 0)
        batch["input_ids"][:, 1] = torch.randint(7, 30, (len(rows),))
        return batch

    trainer.data_collator = noisy
    with pytest.raises(ConfigError, match="other tokens each time"):
        trainer.train()


def test_labels_on_the_prompt_are_refused(tmp_path):
    whole = [{"input_ids": r["input_ids"], "labels": list(r["input_ids"])} for r in encoded()]
    with pytest.raises(ConfigError, match="row 1 is labeled from its start"):
        trained(tmp_path, [ConstrainedSFT()], rows=whole)
    with pytest.raises(ConfigError, match="answers alone"):
        sft(tmp_path, completion_only_loss=False).train()


@pytest.mark.parametrize(
    "bad",
    [
        {"scale": -1.0}, {"beta_first": -0.1}, {"beta_early": float("inf")}, {"beta_late": None},
        {"last_early": 0}, {"batch_size": 0},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        ConstrainedSFT(**bad).validate()
