"""What users do with their trainers, one function per clause; each raises AssertionError.

A clause runs a defense as its users might, and holds it to a run without that: the same weights, or
a refusal before step 0.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import set_seed

from holdfast.defense import Capability
from holdfast.errors import InputError
from holdfast.testing.checks import SAVING, TOLERANCE, Make
from holdfast.testing.runs import tiny_model
from holdfast.training.trainer import protect
from tests.contract.runs import FULL, Setting, differing, gap, new_trainer, trained, weights_of

EVALUATING: dict[str, Any] = {
    "eval_strategy": "steps", "eval_steps": 1, "prediction_loss_only": True,
}  # fmt: skip


def check_model_init(make: Make) -> None:
    """A model that ``train`` makes is defended as one that it is given."""
    given: Any = new_trainer([make()], FULL)
    set_seed(given.args.seed)  # As a trainer does before it makes its model.
    given.train()
    made: Any = new_trainer(None, FULL)
    first = made.model
    made.model_init = lambda: tiny_model()  # noqa: PLW0108  # It would be given a trial.
    protect(made, [make()]).train()
    assert made.model is not first
    apart = differing(weights_of(made.model), weights_of(given.model))
    assert not apart, f"{apart[:1]} is not as with a model given"


class _FirstIsBest(TrainerCallback):
    """Makes each evaluation worse than the one before."""

    def on_evaluate(self, _args: Any, state: Any, *_: Any, metrics: Any, **__: Any) -> None:
        metrics["eval_loss"] = float(state.global_step)


class _StopsAt(TrainerCallback):
    """Ends a run after its second step."""

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = state.global_step == 2


def check_best_checkpoint(make: Make, setting: Setting) -> None:
    """The best checkpoint, loaded at the end, is as a run that ended there, artifacts and all."""
    options = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True}
    best: Any = new_trainer([make()], setting, **SAVING, **options)
    best.add_callback(_FirstIsBest())
    best.train()
    assert best.state.best_model_checkpoint.endswith("checkpoint-2")
    short: Any = new_trainer([make()], setting)
    short.add_callback(_StopsAt())
    short.train()
    apart = gap(weights_of(best.model), weights_of(short.model))
    assert apart <= TOLERANCE, f"the weights are {apart:.2e} from those of the run that ended there"
    for one, other in zip(best.artifacts, short.artifacts, strict=True):
        for file, tensors in one.tensors.items():
            apart = gap(tensors, other.tensors[file])
            assert apart <= 10 * TOLERANCE, f"{file} is of other weights: {apart:.2e}"


class OwnLoss(Trainer):
    """The stock loss, written by the user."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        loss = own_loss(outputs, inputs["labels"], num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


def own_loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    """Return the sum over the batch's answer tokens by the number of those of the step."""
    flat = outputs.logits[:, :-1].float().flatten(0, 1)
    items = (labels[:, 1:] != -100).sum() if num_items_in_batch is None else num_items_in_batch
    return functional.cross_entropy(flat, labels[:, 1:].flatten(), reduction="sum") / items


def _with_loss_function(trainer: Any) -> None:
    trainer.compute_loss_func = own_loss


def _with_optimizer(trainer: Any) -> None:
    trainer.optimizer = torch.optim.AdamW(trainer.model.parameters(), lr=1e-2, weight_decay=0.0)


def _with_collator(trainer: Any) -> None:
    stock = trainer.data_collator

    def collate(rows: Any) -> dict[str, Any]:
        """Add a column of padding."""
        fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
        return {k: functional.pad(v, (0, 1), value=fill[k]) for k, v in stock(rows).items()}

    trainer.data_collator = collate


OWN: dict[str, tuple[type[Trainer] | None, Callable[[Any], None]]] = {
    "compute_loss": (OwnLoss, lambda _: None),
    "compute_loss_func": (None, _with_loss_function),
    "optimizers": (None, _with_optimizer),
    "collator": (None, _with_collator),
}
"""What of a trainer is the user's own, equal to the stock one → its class, and what sets it."""


def check_own(make: Make) -> None:
    """With a loss, optimizer or collator of the user the run is the same, or it is refused."""
    expected = trained([make()], FULL, max_steps=2).weights
    for what, (cls, change) in OWN.items():
        trainer: Any = new_trainer(None, FULL, cls=cls, max_steps=2)
        change(trainer)
        start = weights_of(trainer.model)
        try:
            protect(trainer, [make()]).train()
        except InputError as error:
            assert make().card.name in str(error)  # noqa: PT017
            assert not differing(start, weights_of(trainer.model)), f"{what}: refused too late"
            continue
        apart = gap(weights_of(trainer.model), expected)
        assert apart <= 50 * TOLERANCE, f"{what}: {apart:.2e} from the run with the stock one"
        rates = Capability.LEARNING_RATES in make().needs()
        assert not (rates and what == "optimizers"), "the rates of a given optimizer are not ours"


class _Predicts(TrainerCallback):
    """Asks for predictions after each step."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._trainer.predict(self._trainer.eval_dataset)


def check_looking_changes_nothing(make: Make, setting: Setting) -> None:
    """Training is the same bit for bit with evaluation and prediction in it, and without."""
    trainer: Any = new_trainer([make()], setting, **EVALUATING)
    trainer.add_callback(_Predicts(trainer))
    trainer.train()
    apart = differing(weights_of(trainer.model), trained([make()], setting).weights)
    assert not apart, f"evaluating changed {apart[:1]}"
