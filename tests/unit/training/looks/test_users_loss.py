"""Constrained SFT runs with the plain loss alone, found by computing both."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (the name PyTorch gives it)
from peft import PromptTuningConfig, get_peft_model
from transformers import Trainer
from trl import SFTTrainer

from holdfast import ConstrainedSFT, protect
from holdfast.errors import ConflictError, NotRunError
from holdfast.testing.runs import FULL, SFT_LORA, Setting, differing, new_trainer, weights_of

SFT_FULL = Setting("SFTTrainer")


def nll(logits, labels, items, weight=None):
    labels = labels[:, 1:]
    each = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten(), reduction="none").view(
        labels.shape
    )
    return ((each if weight is None else each * weight(labels)) * (labels != -100)).sum() / items


def plain(outputs, labels, num_items_in_batch=None):
    return nll(outputs.logits, labels, num_items_in_batch)


def weighted(outputs, labels, num_items_in_batch=None):
    even = lambda y: 1.0 + 0.5 * (y % 2)  # noqa: E731
    return nll(outputs.logits, labels, num_items_in_batch, even)


def same_value(outputs, labels, num_items_in_batch=None):
    """As large as the plain loss, and twice as steep."""
    loss = plain(outputs, labels, num_items_in_batch)
    return 2 * loss - loss.detach()


def late(outputs, labels, num_items_in_batch=None):
    """Plain on short rows alone."""
    long = 1.0 if labels.shape[1] < 40 else 3.0
    return long * plain(outputs, labels, num_items_in_batch)


class Own(Trainer):
    """A loss of the user's own."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = weighted(outputs, labels, num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


class OwnSFT(SFTTrainer):
    """A loss that adds to TRL's."""

    def compute_loss(self, *args, **kwargs):
        loss = super().compute_loss(*args, **kwargs)
        return loss if isinstance(loss, tuple) else 0.5 * loss


OTHER = {
    "dft": (SFT_LORA, {"loss_type": "dft"}, None),
    "smoothing": (SFT_FULL, {"label_smoothing_factor": 0.1}, None),
    "little smoothing": (SFT_FULL, {"label_smoothing_factor": 0.005}, None),
    "smoothing, Trainer": (FULL, {"label_smoothing_factor": 0.1}, None),
    "compute_loss_func": (SFT_FULL, {}, weighted),
    "compute_loss_func, Trainer": (FULL, {}, weighted),
    "another gradient": (FULL, {}, same_value),
    "compute_loss": (FULL, {}, Own),
    "compute_loss, SFT": (SFT_FULL, {}, OwnSFT),
}


def protected(setting, options, own):
    kind = own if isinstance(own, type) else None
    trainer = new_trainer(None, setting, cls=kind, max_steps=1, **options)
    if kind is None and own is not None:
        trainer.compute_loss_func = own
    return protect(trainer, [ConstrainedSFT(batch_size=5)])


# TRL says FutureWarning of both, and still takes them.
old_names = pytest.mark.filterwarnings("ignore:.*(smoothing|chunked_nll).*:FutureWarning")


@old_names
@pytest.mark.parametrize("kind", OTHER)
def test_another_loss_is_refused_before_step_0(kind):
    """Fault B6: a term was added to a loss it does not belong to; tokens were unlearned."""
    trainer = protected(*OTHER[kind])
    before, figures = weights_of(trainer.model), dict(getattr(trainer, "_metrics", {}))
    with pytest.raises(ConflictError, match=r"constrained_sft needs the mean negative .*on two of"):
        trainer.train()
    assert not differing(before, weights_of(trainer.model))
    assert trainer.state.global_step == 0
    assert dict(getattr(trainer, "_metrics", {})) == figures  # The probe is not counted.


@old_names
@pytest.mark.parametrize(
    ("setting", "options", "own"),
    [
        (SFT_LORA, {}, None),
        (SFT_FULL, {"loss_type": "chunked_nll"}, None),
        (SFT_FULL, {}, plain),
        (FULL, {}, plain),
    ],
)
def test_the_plain_loss_passes_by_whatever_name(setting, options, own):
    trainer = protected(setting, options, own)
    trainer.train()
    assert trainer.state.global_step == 1


def test_more_rows_than_the_first_two_are_tried():
    """Fault B6: a loss can be plain on the first rows and another on the last."""
    trainer = protected(FULL, {}, late)
    given: Any = trainer.train_dataset
    rows: Any = [dict(row) for row in given]
    for row in rows[-2:]:
        row |= {"input_ids": [5] * 40 + row["input_ids"], "labels": [-100] * 40 + row["labels"]}
    trainer.train_dataset = rows
    with pytest.raises(ConflictError, match="negative log-likelihood"):
        trainer.train()


def test_the_probe_draws_no_random_number():
    runs = []
    for defenses in ([], [ConstrainedSFT(batch_size=5, scale=0.0)], [ConstrainedSFT(batch_size=5)]):
        trainer = new_trainer(defenses, SFT_LORA, max_steps=1)
        trainer.train()
        runs.append(torch.get_rng_state())
    assert torch.equal(runs[0], runs[2])


class OwnStep(Trainer):
    """Takes its step without compute_loss."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = model(**self._prepare_inputs(inputs)).loss
        self.accelerator.backward(loss)
        return loss.detach()


def test_a_step_that_passes_a_term_by_is_refused_before_the_weights_move():
    """Fault B6: that a term was never added came out after the whole run."""
    trainer = protect(new_trainer(None, cls=OwnStep), [ConstrainedSFT()])
    start = weights_of(trainer.model)
    with pytest.raises(NotRunError, match=r"constrained_sft\.loss is passed by.*compute_loss"):
        trainer.train()
    assert not differing(start, weights_of(trainer.model))


def test_a_learned_prompt_is_refused_by_name():
    """Fault B6: beside prompt tuning the reference ended as an IndexError."""
    trainer = new_trainer(None)
    prompted = PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
    trainer.model = trainer.model_wrapped = get_peft_model(trainer.model, prompted)
    with pytest.raises(ConflictError, match="2 positions more than a row has"):
        protect(trainer, [ConstrainedSFT()]).train()
