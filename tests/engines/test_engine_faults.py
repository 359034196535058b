"""Faults planted in an engine, in the wiring or in a defense: the matrix goes red on each."""

from contextlib import nullcontext

import pytest

from holdfast import Panacea, SecurityVectors, Vaccine
from holdfast.defense import Capability, Defense
from holdfast.errors import ConfigError
from holdfast.ops.engines import ddp
from tests.contract.planted import OncePerMicroBatch
from tests.contract.recipes import Recipe
from tests.engines.cells import cell
from tests.engines.columns import COLUMNS
from tests.engines.trainers import engine_recipes

RECIPES = {recipe.label: recipe for recipe in engine_recipes()}
MOVED = "from what it must be"


def red(make, column, tuning, plant, match):
    """Run a cell with a fault in it; what it is held against was run without."""
    COLUMNS[column].wanted(make, tuning)
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        with pytest.raises(AssertionError, match=match):
            cell(make, COLUMNS[column], tuning)


def shares_alike(patch):
    """Micro-batches weigh alike where tokens do in the user's loss: the kind of fault B5."""
    patch.setattr("holdfast.training.trainer.share", lambda *_: 0.5)


def float32_before_step_0(patch):
    """A vector was trained in float32 where training is in bfloat16: fault B14."""
    patch.setattr("holdfast.training.looks.suited.users_autocast", lambda _: nullcontext())


def activations_kept(patch):
    """Extra passes pass over what the user has asked for: fault B14."""
    patch.setattr("holdfast.ops.engine.recomputed", lambda _: nullcontext())


def rounding_forgotten(patch):
    """A resumed run begins a rounding error away from where the other one went on."""
    patch.setattr(SecurityVectors, "state", Defense.state)


def summed(patch):
    """Extra gradients are added up over the processes, and not averaged."""
    own = ddp.mean_over

    def sum_over(tensors):
        every = list(tensors)
        own(every)
        for tensor in every:
            tensor.mul_(2)

    patch.setattr(ddp, "mean_over", sum_over)


def each_its_own(patch):
    """Every process moves the weights in a way of its own."""
    own = Panacea.gradient

    def gradient(self, step, backward):
        loss = own(self, step, backward)
        pull = {n: p.detach() for n, p in step.engine.parameters().items()}
        step.engine.add_gradient(pull, 0.1 * step.engine.rank)
        return loss

    patch.setattr(Panacea, "gradient", gradient)


def refused_at_the_end(patch):
    def after(_self, _run):
        raise ConfigError("panacea: not here")

    patch.setattr(Panacea, "after", after)


def refused_with_moved_weights(patch):
    def before(_self, run):
        run.engine.edit(run.engine.parameters(), 0.5)
        raise ConfigError("panacea: not here")

    patch.setattr(Panacea, "before", before)


def no_word_of_hooks(patch):
    """Vaccine ran on compiled code, which passes hooks by: the kind of fault B13."""
    few = Vaccine.card.needs - {Capability.HOOKS}
    patch.setattr(Vaccine, "needs", lambda _: few)


FAULTS = {
    shares_alike: ("constrained_sft", "accumulation", "lora", MOVED),
    float32_before_step_0: ("security_vectors-merged", "bf16", "lora", MOVED),
    activations_kept: ("panacea-in-loop", "checkpointing", "lora", "backward passes and"),
    rounding_forgotten: ("security_vectors-merged", "resume", "full", MOVED),
    summed: ("panacea-in-loop", "ddp", "lora", MOVED),
    each_its_own: ("panacea-in-loop", "ddp", "lora", "other weights|process"),
    refused_at_the_end: ("panacea-post-hoc", "accumulation", "lora", "after step 0|have changed"),
    refused_with_moved_weights: (
        "panacea-post-hoc", "accumulation", "lora", "the weights have changed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_the_matrix_goes_red(plant):
    label, column, tuning, match = FAULTS[plant]
    red(RECIPES[label], column, tuning, plant, match)


def test_a_term_once_per_micro_batch_goes_red():
    make = Recipe(OncePerMicroBatch, "default")
    red(make, "accumulation", "lora", lambda _: None, MOVED)


@pytest.mark.engines  # It imports the compiler.
def test_hooks_on_a_compiled_model_go_red():
    red(RECIPES["vaccine"], "compile", "lora", no_word_of_hooks, MOVED)
