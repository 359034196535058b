"""Processes that have come apart say so, loudly, before anything is saved."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
import torch.distributed as dist

from holdfast.defense import Card, Defense, Stage
from holdfast.errors import RunError
from holdfast.testing.runs import FULL, new_folder, trained
from holdfast.training.distributed.figures import averaged
from tests.distributed import in_processes


@dataclass
class Drifting(Defense):
    """Learns or edits something else in each process."""

    where: str = "before"
    on: float = 1.0
    learned_: dict = field(default_factory=dict, init=False)
    seen_: dict = field(default_factory=dict, init=False)
    card: ClassVar[Card] = Card("drifting", "Drifts.", Stage.TUNE, "control", "on", "none")

    def before(self, run):
        if self.where == "before":
            self.learned_ = {"draw": [dist.get_rank()]}

    def gradient(self, step, backward):
        loss = backward()
        self.seen_ = {"loss": float(loss)}
        if self.where == "steps" and step.number == 1:
            self.learned_ = {"anchor": torch.full((2,), float(dist.get_rank()))}
        return loss

    def after(self, run):
        if self.where == "after":
            edited = next(iter(run.engine.parameters().items()))
            run.engine.edit({edited[0]: torch.ones_like(edited[1])}, dist.get_rank())

    def metrics(self):
        return dict(self.seen_)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("before", "what drifting has learned of process 1 is not .* before the steps"),
        ("steps", "what drifting has learned .* the steps up to checkpoint-2"),
        ("after", "the weights of process 1 .* behind the steps"),
    ],
)
def test_every_process_says_that_they_are_apart(where, said):
    folder = new_folder()

    def act():
        saving = {"save_strategy": "steps", "save_steps": 2, "folder": folder}
        with pytest.raises(RunError, match=said):
            trained([Drifting(where)], FULL, **saving)

    in_processes(act)


def test_figures_of_the_rows_at_hand_may_differ_and_are_averaged():
    def act():
        run = trained([Drifting("nowhere")], FULL, logging_steps=1)
        defense = run.trainer.defenses[0]
        logged = [r for r in run.trainer.state.log_history if "drifting/loss" in r]
        return defense.seen_["loss"], logged[-1]["drifting/loss"]

    (one, logged), (other, same) = in_processes(act)
    assert one != other
    assert logged == same == pytest.approx((one + other) / 2)


def test_a_figure_that_only_some_have_is_their_mean():
    class Two:
        world = 2

    def act():
        own = {"a": float(dist.get_rank())} | ({"b": 3.0} if dist.get_rank() else {})
        return averaged(own, Two())

    assert in_processes(act) == [{"a": 0.5, "b": 3.0}] * 2
