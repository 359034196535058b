"""The weight of a term beside every way in which a trainer scales its own loss."""

from typing import Any

import pytest
from torch.nn import functional
from transformers import Trainer

from holdfast import protect
from tests.contract.probes import SameLossAgain
from tests.contract.runs import FULL, LORA, SFT_FULL, gap, new_trainer, weights_of

SGD: Any = {"optim": "sgd", "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}


def nll(logits, labels, items=None):
    """The mean over the batch's answers, or their sum over the step's ``items``."""
    how = "mean" if items is None else "sum"
    flat, wanted = logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten()
    loss = functional.cross_entropy(flat, wanted, ignore_index=-100, reduction=how)
    return loss if items is None else loss / items


class Stock(Trainer):
    """As it is: a mean over all answer tokens of a step."""


class MeanOfMeans(Trainer):
    """A loss of its own, a mean of each micro-batch, and says so."""

    loss_is_scaled_for_ga = False

    def compute_loss(self, model, inputs, return_outputs=False, **kw):
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        loss = nll(outputs.logits, inputs["labels"])
        return (loss, outputs) if return_outputs else loss


class Normalized(Trainer):
    """A loss of its own over the tokens of the step, and says so."""

    loss_is_scaled_for_ga = True

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        loss = nll(outputs.logits, inputs["labels"], num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


class Uncounted(Trainer):
    """Its step leaves the count out, so that the stock loss is a mean of means."""

    def training_step(self, model, inputs):
        return super().training_step(model, inputs)


class NoKeywords(Trainer):
    """Its model takes no keywords of a loss, so that nothing is counted."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False


class LossFunction(Trainer):
    """The documented way to a loss of one's own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.compute_loss_func = lambda outputs, labels, num_items_in_batch=None: nll(
            outputs.logits, labels, num_items_in_batch
        )


EVERY = (Stock, MeanOfMeans, Normalized, Uncounted, NoKeywords, LossFunction)


def run(cls, defenses, *, lr=0.1, setting=FULL, even=False, **options):
    own = None if setting.trainer == "SFTTrainer" else cls
    trainer = new_trainer(None, setting, cls=own, learning_rate=lr, **SGD, **options)
    if even:
        width = len(trainer.train_dataset[0]["input_ids"])
        trainer.train_dataset = [_even(row, width) for row in trainer.train_dataset]
    protect(trainer, defenses).train()
    return weights_of(trainer.model)


def _even(row, width):
    """Return the row cut or filled to ``width`` tokens, the last three of them its answer."""
    ids = [*row["input_ids"], *row["input_ids"]][:width]
    return {"input_ids": ids, "labels": [-100] * (width - 3) + ids[-3:]}


@pytest.mark.parametrize("micros", [2, 3, 4])
@pytest.mark.parametrize("cls", EVERY)
def test_a_term_weighs_as_the_users_loss(cls, micros):
    """Fault B5: with a loss of one's own a term weighed 1 / accumulation of what it should.

    The term is the user's loss once more, so it is the same run at twice the rate, with answers of
    different lengths and a last step of fewer micro-batches.
    """
    options: Any = {"gradient_accumulation_steps": micros, "rows": 10, "max_steps": 4}
    twice = run(cls, [SameLossAgain()], lr=0.05, **options)
    reference = run(cls, [], lr=0.1, **options)
    assert gap(twice, reference) <= 1e-6


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("cls", EVERY)
def test_accumulation_is_one_big_batch(cls, average):
    """Fault B5: as above, against one batch of all rows of a step; the last step is cut short."""
    options: Any = {
        "rows": 10, "max_steps": 3, "even": True, "average_tokens_across_devices": average,
    }  # fmt: skip
    whole = run(cls, [SameLossAgain()], per_device_train_batch_size=4, **options)
    for size, micros in ((2, 2), (1, 4)):
        many: Any = {"per_device_train_batch_size": size, "gradient_accumulation_steps": micros}
        assert gap(whole, run(cls, [SameLossAgain()], **many, **options)) <= 1e-6


@pytest.mark.parametrize("setting", [LORA, SFT_FULL], ids=str)
def test_so_it_does_for_adapters_and_sft(setting):
    options: Any = {"gradient_accumulation_steps": 3, "rows": 10, "setting": setting}
    twice = run(Stock, [SameLossAgain()], lr=0.05, **options)
    assert gap(twice, run(Stock, [], lr=0.1, **options)) <= 1e-6
