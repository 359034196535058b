"""The columns of the engine matrix: on what a run is run, and what it must be equal to there.

Each column runs a defense on its engine and returns the weights of it, beside the weights that they
must be. It also makes sure that its engine was at work: a column that silently ran nothing of its
own would be equal to everything.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache, wraps
from typing import Any

import torch
from accelerate.utils import convert_outputs_to_fp32
from transformers import TrainerCallback

from holdfast.testing.runs import Weights, new_folder, require
from tests.contract.recipes import Recipe
from tests.contract.settings import PER_MICRO_BATCH
from tests.engines.trainers import BATCH, STEPS, Ran, Tuning, attention_of, new_trainer, run

__all__ = ["COLUMNS", "Column", "Pair", "reference"]

Pair = tuple[Weights, Weights]
"""Weights as the engine left them, and as they must be."""
HALVES: dict[str, Any] = {
    "per_device_train_batch_size": BATCH // 2, "gradient_accumulation_steps": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One engine, or one way to run steps."""

    name: str
    title: str
    tolerance: float
    """Largest absolute difference that a weight may have; weights here move by about 1e-2."""
    against: str
    """What the weights are compared with, and why they may differ by that much."""
    run: Callable[[Recipe, Tuning], Pair]


@lru_cache(maxsize=8)
def reference(make: Recipe, tuning: Tuning) -> Ran:
    """Return the run in one process, in float32, of whole batches."""
    found = run([make()], tuning)
    require(_differs(found, _plain(tuning)), f"{make.label} does nothing here")
    return found


@cache
def _plain(tuning: Tuning) -> Ran:
    return run([], tuning)


def accumulated(make: Recipe, tuning: Tuning) -> Pair:
    """Two micro-batches of two rows are one batch of four."""
    if make.label in PER_MICRO_BATCH:
        return _mean_of_micro_batches(make, tuning)
    found = run([make()], tuning, **HALVES)
    return _after_steps(found), _after_steps(reference(make, tuning))


def _after_steps(ran: Ran) -> Weights:
    require(ran.trainer.state.global_step == STEPS, "it did not take all steps")
    return ran.trained


SGD: dict[str, Any] = {"optim": "sgd", "max_steps": 1, "learning_rate": 0.1}


def _mean_of_micro_batches(make: Recipe, tuning: Tuning) -> Pair:
    """By its definition it acts on each micro-batch: the step is their mean, weighed by tokens."""
    found = run([make()], tuning, **HALVES, **SGD)
    start, moved, tokens = found.start, [], []
    for first in (0, BATCH // 2):
        alone = new_trainer([make()], tuning, per_device_train_batch_size=BATCH // 2, **SGD)
        alone.train_dataset = alone.train_dataset.select(range(first, first + BATCH // 2))
        tokens.append(_answer_tokens(alone))
        alone.train()
        moved.append({n: p.detach() - start[n] for n, p in alone.model.named_parameters()
                      if p.is_floating_point()})  # fmt: skip
    require(tokens[0] != tokens[1], "micro-batches of as many tokens show no wrong weighing")
    shares = [count / sum(tokens) for count in tokens]
    one, two = moved
    mean = {n: start[n] + shares[0] * one[n] + shares[1] * two[n] for n in one}
    return found.trained, mean


def _answer_tokens(trainer: Any) -> int:
    batch = next(iter(trainer.get_train_dataloader()))
    return int((batch["labels"][:, 1:] != -100).sum())


def autocast(make: Recipe, tuning: Tuning) -> Pair:
    """With bf16=True every pass is as that of a model which always computes in bfloat16."""
    found = run([make()], tuning, bf16=True)
    wanted = _in_bfloat16(make, tuning)
    require(_differs(found, reference(make, tuning)), "bf16=True changed nothing")
    return found.trained, wanted.trained


def _in_bfloat16(make: Recipe, tuning: Tuning) -> Ran:
    trainer = new_trainer([make()], tuning)
    model, own = trainer.model, trainer.model.forward

    @wraps(own)
    def forward(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return own(*args, **kwargs)

    model.forward = convert_outputs_to_fp32(forward)
    trainer.train()
    del model.forward
    return Ran(trainer, {n: p.detach().clone() for n, p in model.named_parameters()})


def _differs(left: Ran, right: Ran) -> bool:
    return any(not torch.equal(w, right.weights[n]) for n, w in left.weights.items())


CHECKPOINTING: dict[str, Any] = {
    "gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False},
}  # fmt: skip


def recomputed(make: Recipe, tuning: Tuning) -> Pair:
    """Activations are recomputed in every backward pass, and are those of the forward pass."""
    passes = {"backward": 0, "again": 0}

    def count(_module: Any, _inputs: Any, outputs: Any) -> None:
        within = torch._C._current_graph_task_id() != -1
        if within:
            passes["again"] += 1
        elif outputs[0].requires_grad:
            outputs[0].register_hook(reached)

    def reached(_: Any) -> None:
        passes["backward"] += 1

    def watch(model: Any) -> None:
        attention_of(model).register_forward_hook(count)

    found = run([make()], tuning, change=watch, **CHECKPOINTING)
    require(passes["again"], "nothing was recomputed")
    said = f"{passes['backward']} backward passes and {passes['again']} with recomputing"
    require(passes["backward"] == passes["again"], said)
    return found.trained, reference(make, tuning).trained


COMPILED: dict[str, Any] = {"torch_compile": True, "torch_compile_backend": "eager"}


@contextmanager
def fresh_compiler() -> Generator[None]:
    """Run the body with nothing compiled yet, and forget what it compiled."""
    torch.compiler.reset()
    try:
        yield
    finally:
        torch.compiler.reset()


def compiled(make: Recipe, tuning: Tuning) -> Pair:
    """A compiled model learns the same, in a process that compiled the class before (B13)."""
    from torch._dynamo.utils import counters  # noqa: PLC0415  # It imports the compiler.

    wanted = reference(make, tuning).trained
    with fresh_compiler():
        run([], tuning, max_steps=1, **COMPILED)
        counters.clear()
        found = run([make()], tuning, **COMPILED)
        used = found.trainer.model_wrapped
        require(isinstance(used, torch._dynamo.OptimizedModule), "the model was not compiled")
        require(counters["frames"]["ok"], "nothing was compiled")
    return found.trained, wanted


SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 1}


class _StopsInLastStep(TrainerCallback):
    """Presses Ctrl-C."""

    def on_step_begin(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        if state.global_step == STEPS - 1:
            raise KeyboardInterrupt


def resumed(make: Recipe, tuning: Tuning) -> Pair:
    """A run stopped in its last step and resumed in another trainer is the one never stopped."""
    folder = new_folder()
    stopped = new_trainer([make()], tuning, folder=folder, **SAVING)
    stopped.add_callback(_StopsInLastStep())
    with suppress(KeyboardInterrupt):
        stopped.train()
        raise AssertionError("Ctrl-C in the last step did not stop the run")
    again = run([make()], tuning, resume=True, folder=folder, **SAVING)
    require(len(again.trainer.state.log_history) >= STEPS, "the log begins anew")
    return again.trained, reference(make, tuning).trained


COLUMNS = {
    column.name: column
    for column in (
        Column("accumulation", "accumulation", 1e-6, "", accumulated),
        Column("bf16", "bf16 autocast", 0.0, "", autocast),
        Column("checkpointing", "activation checkpointing", 0.0, "", recomputed),
        Column("compile", "torch.compile", 1e-6, "", compiled),
        Column("resume", "resume", 0.0, "", resumed),
    )
}
"""The columns of one process, by name."""
