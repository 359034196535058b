"""Ways to run steps in one process: each runs a defense and returns the weights."""

from contextlib import suppress
from typing import Any

import torch
from transformers import TrainerCallback

from holdfast.testing.runs import Weights, new_folder, require
from tests.contract.recipes import Recipe
from tests.engines import trainers
from tests.engines.references import HALF, SGD, acts_on_micro_batches
from tests.engines.trainers import STEPS, Tuning, attention_of, run

__all__ = ["accumulated", "autocast", "compiled", "recomputed", "resumed"]


def accumulated(make: Recipe, tuning: Tuning) -> Weights:
    """Run steps of two micro-batches of two rows."""
    more = SGD if acts_on_micro_batches(make) else {}
    halves = {"per_device_train_batch_size": HALF, "gradient_accumulation_steps": 2}
    return run([make()], tuning, **halves, **more).weights


def autocast(make: Recipe, tuning: Tuning) -> Weights:
    """Run with ``bf16=True``."""
    return run([make()], tuning, bf16=True).weights


RECOMPUTING: dict[str, Any] = {
    "gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False},
}  # fmt: skip


def recomputed(make: Recipe, tuning: Tuning) -> Weights:
    """Run with activations recomputed, and count that each backward pass did (fault B14)."""
    passes = {"backward": 0, "again": 0}

    def count(_module: Any, _inputs: Any, outputs: Any) -> None:
        if torch._C._current_graph_task_id() != -1:  # Inside a backward pass.
            passes["again"] += 1
        elif outputs[0].requires_grad:
            outputs[0].register_hook(reached)

    def reached(_: Any) -> None:
        passes["backward"] += 1

    def watch(model: Any) -> None:
        attention_of(model).register_forward_hook(count)

    found = run([make()], tuning, change=watch, **RECOMPUTING)
    said = f"{passes['backward']} backward passes and {passes['again']} with recomputing"
    require(passes["again"] == passes["backward"] > 0, said)
    return found.weights


COMPILED: dict[str, Any] = {"torch_compile": True, "torch_compile_backend": "eager"}


def compiled(make: Recipe, tuning: Tuning) -> Weights:
    """Run compiled, in a process that compiled the class before (fault B13).

    What was compiled stays, so that this is so; a limit of compiling anew is an error, for past it
    the model would run uncompiled without a word.
    """
    import torch._dynamo.config as limits  # noqa: PLC0415  # It imports the compiler.

    many: dict[str, Any] = {
        "recompile_limit": 200, "accumulated_recompile_limit": 2000,
        "fail_on_recompile_limit_hit": True,
    }  # fmt: skip
    with limits.patch(many):
        run([], tuning, max_steps=1, **COMPILED)
        found = run([make()], tuning, **COMPILED)
    wrapper = found.trainer.model_wrapped
    require(isinstance(wrapper, torch._dynamo.OptimizedModule), "the model was not compiled")
    return found.weights


class _StopsInLastStep(TrainerCallback):
    """Presses Ctrl-C."""

    def on_step_begin(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Press it."""
        if state.global_step == STEPS - 1:
            raise KeyboardInterrupt


def resumed(make: Recipe, tuning: Tuning) -> Weights:
    """Stop a run in its last step and go on in another trainer."""
    saving: dict[str, Any] = {"folder": new_folder(), "save_strategy": "steps", "save_steps": 1}
    stopped = trainers.new_trainer([make()], tuning, **saving)
    stopped.add_callback(_StopsInLastStep())
    with suppress(KeyboardInterrupt):
        stopped.train()
        raise AssertionError("Ctrl-C in the last step did not stop the run")
    return run([make()], tuning, resume=True, **saving).weights
