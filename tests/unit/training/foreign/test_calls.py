"""User classes whose methods take other parameters than the stock ones."""

import inspect
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer
from trl.trainer.sft_trainer import SFTTrainer

from holdfast import protect
from holdfast.training.foreign.calls import called
from holdfast.training.looks.counters import counted_once
from tests.contract.probes import Planted, RoleRates, SameLossAgain
from tests.contract.runs import FULL, SFT_FULL, differing, new_trainer, trained, weights_of

SAVING: Any = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2}


class Keywords(Trainer):
    """Takes what it does not care for as keywords."""

    def compute_loss(self, model, inputs, **kw):
        return super().compute_loss(model, inputs, **kw)

    def training_step(self, model, inputs, *rest):
        return super().training_step(model, inputs, *rest)

    def create_optimizer(self):
        return super().create_optimizer()

    def create_scheduler(self, num_training_steps):
        return super().create_scheduler(num_training_steps)

    def save_model(self, dir=None, **kw):
        super().save_model(dir, **kw)

    def log(self, logs):
        super().log(logs)

    def evaluate(self, eval_dataset=None):
        return super().evaluate(eval_dataset)

    def train(self, **kw):
        return super().train(**kw)


class Renamed(Trainer):
    """Names its parameters as it likes, and returns nothing where nothing is asked back."""

    def compute_loss(self, model, batch, return_outputs=False, num_items_in_batch=None):
        return super().compute_loss(model, batch, return_outputs, num_items_in_batch)

    def training_step(self, net, batch, n):
        return super().training_step(net, batch, n)

    def create_optimizer(self, model=None):
        super().create_optimizer(model)

    def create_scheduler(self, steps, optimizer=None):
        super().create_scheduler(steps, optimizer)

    def save_model(self, folder, internal=False):
        super().save_model(folder, _internal_call=internal)

    def log(self, logs, when=None):
        super().log(logs, when)

    def train(self, *args):
        return super().train(*args)


class Fewer(Trainer):
    """Takes the least it can."""

    def compute_loss(self, model, inputs, return_outputs=False):
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def training_step(self, model, inputs):
        return super().training_step(model, inputs)

    def save_model(self, output_dir=None):
        super().save_model(output_dir)

    def train(self):
        return super().train()


class Least(Trainer):
    """Gives a loss and no outputs."""

    def compute_loss(self, model, inputs):
        return model(**inputs).loss


OWN = (Keywords, Renamed, Fewer)


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("make", [Planted, SameLossAgain, lambda: RoleRates(ratio=0.3)])
def test_a_class_of_the_user_runs_as_the_stock_one(own, make):
    """Fault C3: TypeError, since stock arguments were passed on by their places."""
    trainer = new_trainer(None, FULL, cls=own, **SAVING)
    protect(trainer, [make()]).train()
    assert not differing(weights_of(trainer.model), trained([make()], FULL).weights)
    assert any("eval_loss" in row for row in trainer.state.log_history)


@pytest.mark.parametrize("kind", [Least, "sft"])
def test_a_loss_without_outputs_gets_a_forward_of_its_own(kind):
    """Fault C3: a loss hook wanted outputs that the user's loss does not give."""

    class Bare(SFTTrainer):
        def compute_loss(self, model, inputs, **kw):
            return super().compute_loss(model, inputs, **kw)

    setting = SFT_FULL if kind == "sft" else FULL
    trainer = new_trainer(None, setting, cls=Bare if kind == "sft" else kind)
    protect(trainer, [SameLossAgain()]).train()
    apart = differing(weights_of(trainer.model), trained([SameLossAgain()], setting).weights)
    close = all(
        torch.allclose(a, b, atol=1e-5)
        for a, b in zip(
            weights_of(trainer.model).values(),
            trained([SameLossAgain()], setting).weights.values(),
            strict=True,
        )
    )
    assert close, apart[:1]


def test_a_given_optimizer_and_scheduler_are_used():
    trainer = new_trainer(None, FULL)
    optimizer = torch.optim.SGD(trainer.model.parameters(), lr=0.1)
    trainer.optimizer, trainer.lr_scheduler = optimizer, LambdaLR(optimizer, lambda _: 1.0)
    start = weights_of(trainer.model)
    protect(trainer, [Planted()]).train()
    assert differing(start, weights_of(trainer.model))


class TestCalled:
    def test_an_option_goes_by_name_where_it_has_one(self):
        assert called(lambda a, b=None: (a, b), 1, b=None, c=3) == (1, None)

    def test_what_says_nothing_is_left_out_of_any_names(self):
        assert called(lambda a, **kw: (a, kw), 1, b=None, c=False, d=3) == (1, {"d": 3})

    def test_any_places_get_what_comes_before_too(self):
        assert called(lambda *a: a, 1, b=False, c=3, d=None) == (1, False, 3)
        assert called(lambda *a: a, 1, b=False) == (1,)

    def test_places_are_filled_only_where_the_stock_trainer_fills_them(self):
        assert called(lambda a, n=None: (a, n), 1, placed=True, items=5) == (1, 5)
        assert called(lambda a, n=None: (a, n), 1, items=5) == (1, None)

    def test_arguments_of_none_that_are_not_taken_are_dropped(self):
        assert called(lambda: "done", None) == "done"
        with pytest.raises(TypeError):
            called(lambda: "done", "folder")

    def test_an_argument_is_not_given_twice(self):
        assert called(lambda folder=None: folder, "x", folder="y") == "x"


def test_what_a_method_takes_is_looked_up_once_for_all_steps(monkeypatch):
    class Own:
        def step(self, model, inputs, **kw):
            return sorted(kw)

    class Other(Own):
        def step(self, model, inputs, count=None):
            return count

    asked, really = [], inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda one: asked.append(one) or really(one))
    for _ in range(3):
        own = counted_once(None, Own().step)  # Another function at each step.
        assert called(own, 1, 2, count=7) == ["count"]
        assert called(Other().step, 1, 2, count=7) == 7
    assert len(asked) == 2
