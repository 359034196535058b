"""A figure in the log is one of all rows, however many processes they lie in."""

import json
from copy import deepcopy

import pytest
import torch.distributed as dist

from holdfast.defense.figures import Mean
from holdfast.training.distributed.figures import averaged
from tests.distributed import in_processes
from tests.engines.trainers import BATCH, engine_recipes, run

RECIPES = {recipe.label: recipe for recipe in engine_recipes()}


class Two:
    world = 2


def test_a_mean_counts_as_much_as_it_is_a_mean_over():
    def act():
        own = (Mean(1.0, 3), Mean(5.0, 1)) if dist.get_rank() else (Mean(3.0, 1), Mean(0.5, 0))
        return averaged({"a": own[0], "b": own[1], "c": Mean(float(dist.get_rank()), 0)}, Two())

    assert in_processes(act) == [{"a": 1.5, "b": 5.0, "c": 0.5}] * 2


def test_a_mean_is_a_number_like_any_other():
    figure = Mean(0.25, 4)
    assert figure == 0.25
    assert json.dumps({"a": figure}) == '{"a": 0.25}'
    again = deepcopy(figure)
    assert (again, again.weight) == (0.25, 4.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "label", ["memory_anchor-ldifs", "memory_anchor-ewc", "constrained_sft", "vaccine"]
)
def test_the_figures_of_two_processes_are_those_of_one(label):
    """A share was the mean of two quotients, and a mean over tokens one of two means."""

    def logged(batch):
        trainer = run([RECIPES[label]()], "lora", per_device_train_batch_size=batch).trainer
        kept = [e for e in trainer.state.log_history if "loss" in e]
        return [{k: v for k, v in entry.items() if "/" in k} for entry in kept]

    wanted = logged(BATCH)
    assert wanted[0]
    for found in in_processes(lambda: logged(BATCH // 2)):
        for entry, same in zip(found, wanted, strict=True):
            assert entry == pytest.approx(same, rel=1e-4, abs=1e-7)
