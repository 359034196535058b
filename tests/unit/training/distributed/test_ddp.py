"""Two processes under DistributedDataParallel make the model of one, for every defense."""

import pytest

from holdfast.errors import ConflictError
from holdfast.testing.runs import FULL, SFT_LORA, differing, gap, new_folder, new_trainer, trained
from holdfast.training.trace import Trace
from tests.contract.recipes import recipes
from tests.contract.runs import SFT_FULL
from tests.contract.settings import PER_MICRO_BATCH
from tests.distributed import in_processes

RECIPES = {recipe.label: recipe for recipe in recipes()}
QUICK = {
    "constrained_sft": SFT_LORA,  # A term in the user's loss.
    "lisa": FULL,  # The user's own pass is left out in some steps.
    "panacea-in-loop": SFT_FULL,  # Extra passes and edits in every step.
    "safe_mixing": SFT_LORA,  # Rows.
    "security_vectors-merged": FULL,  # An attachment, learned before.
    "swat-fresh": SFT_LORA,  # Frozen steps.
    "vaccine": FULL,  # The user's pass, twice.
}
CASES = [
    *QUICK.items(),
    *(pytest.param(label, SFT_LORA, marks=pytest.mark.engines) for label in RECIPES),
]
TOLERANCE = 1e-6
"""Gradients are summed in another order; SGD, so that nothing divides by a small number."""
SGD = {"optim": "sgd", "learning_rate": 0.1}
HALF = {"per_device_train_batch_size": 1, **SGD}


@pytest.mark.parametrize(("label", "setting"), CASES, ids=str)
def test_two_processes_make_the_model_of_one(label, setting):
    make, many = RECIPES[label], 1 if label in PER_MICRO_BATCH else 2

    def act():
        run = trained([make()], setting, gradient_accumulation_steps=many, **HALF)
        return run.weights, run.losses, _calls(run.trainer.trace)

    one = trained([make()], setting, **{**HALF, "per_device_train_batch_size": 2 * many})
    (first, losses, calls), (second, _, _) = in_processes(act)
    assert not differing(first, second)
    apart = gap(one.weights, first)
    assert apart <= TOLERANCE, f"two processes move the weights by {apart:.2e}"
    assert losses == pytest.approx(one.losses, abs=1e-3)
    assert calls == _calls(one.trainer.trace)


def _calls(trace: Trace):
    """Return how often hooks outside the micro-batches ran; those inside run once for each."""
    outside = ("data", "before", "attached", "learning_rate", "after_update", "after")
    return {key: count.calls for key, count in trace.counts.items() if key[1] in outside}


def test_tensors_that_every_step_waits_for_cannot_be_frozen():
    def act():
        with pytest.raises(ConflictError, match=r"frozen.*ddp_find_unused_parameters=True.*kept"):
            new_trainer([RECIPES["swat-fresh"]()], SFT_LORA, ddp_find_unused_parameters=False)

    in_processes(act)


@pytest.mark.parametrize("label", ["security_vectors-merged", "panacea-in-loop"])
def test_a_run_goes_on_from_its_checkpoint(label):
    folder, make = new_folder(), RECIPES[label]
    saving = {"save_strategy": "steps", "save_steps": 2, "folder": folder, **HALF}

    def act():
        whole = trained([make()], SFT_LORA, **{**saving, "folder": new_folder()})
        trained([make()], SFT_LORA, **saving)
        resumed = trained([make()], SFT_LORA, resume=_where(folder, 2, label), **saving)
        return whole.weights, resumed.weights

    for whole, resumed in in_processes(act):
        assert not differing(whole, resumed)


def _where(folder, step, label):
    """Return the checkpoint of a step; a repair has moved it to the artifacts."""
    apart = folder.with_name(f"{folder.name}-artifacts") / "checkpoints" / f"checkpoint-{step}"
    return str(apart if apart.exists() else folder / f"checkpoint-{step}")
