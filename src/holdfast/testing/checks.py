"""What every defense keeps, one function per clause; each raises ``AssertionError``.

A check takes a function that builds a fresh defense, so that suites run it on broken ones too.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from typing import Any

import torch
from transformers import TrainerCallback

from holdfast.defense import HOOKS, Defense, implements
from holdfast.testing import leftovers, runs
from holdfast.testing.runs import Outcome, Setting, Weights, require

__all__ = [
    "Make", "check_accumulation", "check_acts", "check_frozen", "check_interrupted",
    "check_leaves_nothing", "check_leaves_nothing_after_errors", "check_resume", "check_seeds",
    "check_strength_zero", "check_trace", "same_run",
]  # fmt: skip

Make = Callable[..., Defense]
"""Builds a fresh defense; keywords override its fields."""
SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
TOLERANCE = 1e-6
STEPS = 4


def same_run(left: Outcome, right: Outcome) -> None:
    """Require the same weights, losses and random states, bit for bit."""
    changed = runs.differing(left.weights, right.weights)
    require(not changed, f"{len(changed)} tensors differ, first {changed[:1]}")
    require(left.losses == right.losses, f"losses differ: {left.losses} and {right.losses}")
    require(_same_random(left, right), "the global random state differs")


def _same_random(left: Outcome, right: Outcome) -> bool:
    same = map(torch.equal, left.random, right.random)
    return len(left.random) == len(right.random) and all(same)


def check_strength_zero(make: Make, setting: Setting) -> None:
    """Strength off: bit for bit no defense, with its data given and without."""
    card = make().card
    off = make(**{card.strength: card.off})
    same_run(runs.trained([off], setting), runs.plain(setting))
    same_run(runs.trained([type(off)(**{card.strength: card.off})], setting), runs.plain(setting))


def check_acts(make: Make, setting: Setting) -> None:
    """At the strength of its recipe a defense changes the weights."""
    weights = runs.trained([make()], setting).weights
    require(runs.differing(weights, runs.plain(setting).weights), "it does nothing")


def check_trace(make: Make, setting: Setting, cls: type | None = None) -> None:
    """Every overridden hook ran, as often as the loop says; no idle one did."""
    defense, micro = make(), 2 * STEPS
    options = {**SAVING, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 1}
    counts = runs.trained([defense], setting, cls=cls, **options).trainer.trace.counts
    calls = {hook: count.calls for (_, hook), count in counts.items()}
    expected = {
        "data": 1, "before": 1, "attached": 1, "after": 1, "after_update": STEPS,
        "batch": micro, "gradient": micro, "loss": micro,
    }  # fmt: skip
    for hook in HOOKS:
        if not implements(defense, hook):
            require(hook not in calls, f"{hook} is not used and ran")
            continue
        require(calls.get(hook, 0) >= 1, f"{hook} never ran")
        wanted = expected.get(hook, calls[hook])
        require(calls[hook] == wanted, f"{hook} ran {calls[hook]} times, not {wanted}")


def check_accumulation(make: Make, setting: Setting, cls: type | None = None) -> None:
    """K micro-batches of m rows are one batch of k·m, the last one of an epoch cut short."""
    options = {"optim": "sgd", "learning_rate": 0.1, "rows": 10, "cls": cls}
    one = runs.trained([make()], setting, per_device_train_batch_size=4, **options)
    many = runs.trained([make()], setting, gradient_accumulation_steps=2, **options)
    apart = runs.gap(one.weights, many.weights)
    require(apart <= TOLERANCE, f"accumulation moves the weights by {apart:.2e}")


def check_seeds(make: Make, setting: Setting) -> None:
    """The same seed gives the same weights bit for bit; another seed of the defense does not.

    The user's own draws (order of rows, dropout) start from plain's random states.
    """
    first = runs.trained([make()], setting)
    same_run(first, runs.trained([make()], setting))
    if "seed" in {f.name for f in fields(make())}:  # type: ignore[arg-type]
        other = runs.trained([make(seed=1)], setting)
        require(runs.differing(first.weights, other.weights), "another seed changes nothing")
    same = _same_random(first, runs.plain(setting))
    require(same, "the global random state differs from plain's")


def check_resume(make: Make, setting: Setting) -> None:
    """Saving disturbs nothing; a run stopped by Ctrl-C and resumed is one never stopped."""
    whole = runs.trained([make()], setting)
    changed = runs.differing(whole.weights, runs.trained([make()], setting, **SAVING).weights)
    require(not changed, f"writing checkpoints changed {changed[:1]}")
    folder = runs.new_folder()
    stopped = runs.new_trainer([make()], setting, folder=folder, **SAVING)
    stopped.add_callback(_StopsInLastStep())
    with suppress(KeyboardInterrupt):
        stopped.train()
        raise AssertionError("Ctrl-C in the last step did not stop the run")
    resumed = runs.trained([make()], setting, folder=folder, resume=True, **SAVING)
    apart = runs.gap(whole.weights, resumed.weights)
    require(apart <= TOLERANCE, f"resuming moves the weights by {apart:.2e}")
    for one, other in zip(whole.trainer.artifacts, resumed.trainer.artifacts, strict=True):
        require(one.tensors.keys() == other.tensors.keys(), "resuming changes the artifacts")
        for file, tensors in one.tensors.items():
            close = runs.gap(tensors, other.tensors[file]) <= 10 * TOLERANCE
            require(close, f"resuming changes {file} of the artifact")


class _StopsInLastStep(TrainerCallback):
    """Presses Ctrl-C."""

    def on_step_begin(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Press it."""
        if state.global_step == STEPS - 1:
            raise KeyboardInterrupt


def check_leaves_nothing(make: Make, setting: Setting, cls: type | None = None) -> None:
    """After a run, model and trainer are as the plain class leaves them."""
    reference = runs.plain(setting, **SAVING).trainer.model
    trainer = runs.new_trainer([make()], setting, cls=cls, **SAVING)
    before, start = leftovers.on_trainer(trainer), runs.weights_of(trainer.model)
    trainer.train()
    left = leftovers.changes(leftovers.on_model(reference), leftovers.on_model(trainer.model))
    require(not left, f"left behind: {'; '.join(left[:3])}")
    held = [name for name, p in trainer.model.named_parameters() if p.grad is not None]
    require(not held, f"gradients are left: {held[:1]}")
    check_frozen(trainer.model, start)
    left = leftovers.changes(before, leftovers.on_trainer(trainer))
    require(not left, f"left behind: {'; '.join(left)}")


def check_leaves_nothing_after_errors(make: Make, setting: Setting) -> None:
    """The same after an error inside each hook."""
    for hook in (h for h in HOOKS if implements(make(), h)):
        defense = make()
        check_interrupted(defense, setting, hook, lambda t, d=defense, h=hook: _break(t, d, h))


def check_interrupted(
    defense: Defense, setting: Setting, where: str | int, stop: Callable[[Any], object]
) -> None:
    """Let ``stop`` break a run in the hook, or the forward pass, ``where``; nothing is left."""
    finished = leftovers.on_model(runs.plain(setting, **SAVING).trainer.model)
    trainer = runs.new_trainer([defense], setting, **SAVING)
    before, start = leftovers.on_trainer(trainer), runs.weights_of(trainer.model)
    first = leftovers.on_model(trainer.model)
    stop(trainer)
    now = leftovers.on_model(trainer.model)
    said = f"after an error in {where}"
    require(now.keys() == first.keys(), f"other modules {said}")
    for name, state in now.items():
        require(state in (first[name], finished[name]), f"{name} {said}: {state}")
    check_frozen(trainer.model, start)
    left = leftovers.changes(before, leftovers.on_trainer(trainer))
    require(not left, f"{said}: {'; '.join(left)}")
    if where in ("data", "before", "attached", "gradient", "batch", "loss", 0):
        apart = runs.gap(start, runs.weights_of(trainer.model))
        require(apart <= TOLERANCE, f"{said}, weights are {apart:.2e} away")


def _break(trainer: Any, defense: Defense, hook: str) -> None:
    with leftovers.broken_hook(defense, hook):
        try:
            trainer.train()
        except leftovers.PlantedError:
            return
    raise AssertionError(f"an error in {hook} did not reach the caller")


def check_frozen(model: Any, start: Weights) -> None:
    """Require that what is not trained is as it was, bit for bit, and holds no gradient."""
    for name, p in model.named_parameters():
        if not p.requires_grad:
            same = torch.equal(p, start[name])
            require(same, f"frozen {name} is not as it was, bit for bit")
            require(p.grad is None, f"frozen {name} holds a gradient")
