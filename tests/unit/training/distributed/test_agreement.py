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
from holdfast.training.distributed.first_learned import near
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

        if self.where == "roundings":  # As kernels of a GPU leave them, which add up in any order.
            self.learned_ = {"vector": torch.ones(3) + 1e-5 * dist.get_rank(), "nll": 0.1 / 3}
            self.learned_["nll"] += 1e-9 * dist.get_rank()
        if self.where == "other vectors":
            self.learned_ = {"vector": torch.eye(2)[dist.get_rank()]}
        if self.where == "other shapes":
            self.learned_ = {"vector": torch.ones(1 + dist.get_rank())}

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
        ("other vectors", "what drifting has learned of process 1 is not .* before the steps"),
        ("other shapes", "what drifting has learned of process 1 is not .* before the steps"),
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


def test_what_differs_by_roundings_is_the_first_ones_in_all():
    def act():
        with_it = trained([Drifting("roundings")], FULL).trainer
        learned = with_it.defenses[0].learned_
        return learned["vector"].numpy(), learned["nll"]

    (first, nll), (other, same) = in_processes(act)
    assert first.tolist() == other.tolist() == [1.0, 1.0, 1.0]
    assert nll == same == 0.1 / 3


@pytest.mark.parametrize(
    ("own", "first", "wanted"),
    [
        ({"a": [1, 0.5]}, {"a": [1, 0.500001]}, True),
        ({"a": [1, 0.5]}, {"a": [2, 0.5]}, False),
        ({"a": 0.5}, {"a": 0.6}, False),
        ({"a": "up"}, {"a": "down"}, False),
        ({"a": 1}, {"b": 1}, False),
        ([float("nan")], [float("nan")], True),
        ([True], [1], False),
    ],
)
def test_only_numbers_with_a_point_are_rounded(own, first, wanted):
    assert near(own, first) == wanted


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
