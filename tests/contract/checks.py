"""The contract that every defense keeps, one function per clause; each raises AssertionError.

A check takes a function that builds a fresh defense, so the suite runs it on every registered
defense and ``test_planted_faults.py`` on broken ones.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from holdfast.artifact import joined_state, split_state
from holdfast.defense import HOOKS, Defense, implements
from holdfast.errors import ConflictError
from holdfast.training.trainer import SecureSFTTrainer, SecureTrainer, protect
from tests.contract import snapshot
from tests.contract.interruptions import PlantedError, broken_hook, stopped_at_forward
from tests.contract.recipes import Make, strength_zero
from tests.contract.runs import (
    FULL,
    Outcome,
    Setting,
    differing,
    gap,
    new_folder,
    new_trainer,
    plain,
    trained,
    weights_of,
)

SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
TOLERANCE = 1e-6
STEPS = 4


def _same_run(left: Outcome, right: Outcome) -> None:
    changed = differing(left.weights, right.weights)
    assert not changed, f"{len(changed)} tensors differ, first {changed[0]}"
    assert left.losses == right.losses, f"losses differ: {left.losses} and {right.losses}"
    assert len(left.random) == len(right.random)
    assert all(map(torch.equal, left.random, right.random)), "the global random state differs"


def check_no_defense_is_plain(setting: Setting, cls: type | None = None) -> None:
    """No defense: bit for bit what the wrapped class does, also through ``protect``."""
    reference = plain(setting, gradient_accumulation_steps=2)
    _same_run(trained([], setting, cls=cls, gradient_accumulation_steps=2), reference)
    trainer: Any = new_trainer(None, setting, gradient_accumulation_steps=2)
    kind = cls or (SecureSFTTrainer if setting.trainer == "SFTTrainer" else SecureTrainer)
    if cls is None:
        trainer = protect(trainer, [])
        assert isinstance(trainer, kind.__mro__[1])
        trainer.train()
        assert not differing(weights_of(trainer.model), reference.weights)


def check_strength_zero(make: Make, setting: Setting) -> None:
    """Strength off: bit for bit no defense, with its data given and without."""
    off = strength_zero(make)
    _same_run(trained([off], setting), plain(setting))
    bare = type(off)(**{off.card.strength: off.card.off})
    _same_run(trained([bare], setting), plain(setting))


def check_acts(make: Make, setting: Setting) -> None:
    """At the strength of its recipe a defense changes the weights."""
    assert differing(trained([make()], setting).weights, plain(setting).weights), "it does nothing"


def check_trace(make: Make, setting: Setting, cls: type | None = None) -> None:
    """Every overridden hook ran, as often as the loop says; no idle one did."""
    defense = make()
    options = {**SAVING, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 1}
    counts = trained([defense], setting, cls=cls, **options).trainer.trace.counts
    calls = {hook: count.calls for (name, hook), count in counts.items()}
    micro = 2 * STEPS
    expected = {
        "data": 1, "before": 1, "attached": 1, "after": 1, "after_update": STEPS,
        "batch": micro, "gradient": micro, "loss": micro,
    }  # fmt: skip
    for hook in HOOKS:
        if not implements(defense, hook):
            assert hook not in calls, f"{hook} is not used and ran"
            continue
        assert calls.get(hook, 0) >= 1, f"{hook} never ran"
        wanted = expected.get(hook, calls[hook])
        assert calls[hook] == wanted, f"{hook} ran {calls[hook]} times, not {wanted}"


def check_accumulation(make: Make, setting: Setting, cls: type | None = None) -> None:
    """k micro-batches of m rows are one batch of k·m, the last one of an epoch cut short."""
    options = {"optim": "sgd", "learning_rate": 0.1, "rows": 10, "cls": cls}
    one = trained([make()], setting, per_device_train_batch_size=4, **options)
    many = trained([make()], setting, gradient_accumulation_steps=2, **options)
    apart = gap(one.weights, many.weights)
    assert apart <= TOLERANCE, f"accumulation moves the weights by {apart:.2e}"


def check_seeds(make: Make, setting: Setting) -> None:
    """The same seed gives the same weights bit for bit; another seed of the defense does not."""
    first = trained([make()], setting)
    _same_run(first, trained([make()], setting))
    if "seed" in {f.name for f in fields(make())}:  # type: ignore[arg-type]
        other = trained([make(seed=1)], setting)
        assert differing(first.weights, other.weights), "another seed changes nothing"


def check_user_randomness(make: Make, setting: Setting) -> None:
    """The user's own draws (order of rows, dropout) start from plain's random states."""
    states, reference = trained([make()], setting).random, plain(setting).random
    same = len(states) == len(reference) and all(map(torch.equal, states, reference))
    assert same, "the global random state differs from plain's"


def check_resume(make: Make, setting: Setting) -> None:
    """Saving disturbs nothing; a run stopped by Ctrl-C and resumed is one never stopped."""
    whole = trained([make()], setting)
    saved = trained([make()], setting, **SAVING)
    changed = differing(whole.weights, saved.weights)
    assert not changed, f"writing checkpoints changed {changed[:1]}"
    folder = new_folder()
    stopped: Any = new_trainer([make()], setting, folder=folder, **SAVING)
    _stop_in_step(stopped, number=3)
    resumed = trained([make()], setting, folder=folder, resume=True, **SAVING)
    apart = gap(whole.weights, resumed.weights)
    assert apart <= TOLERANCE, f"resuming moves the weights by {apart:.2e}"
    for one, other in zip(whole.trainer.artifacts, resumed.trainer.artifacts, strict=True):
        assert one.tensors.keys() == other.tensors.keys()
        for file, tensors in one.tensors.items():
            assert gap(tensors, other.tensors[file]) <= 10 * TOLERANCE, f"{file} differs"


def _stop_in_step(trainer: Any, number: int) -> None:
    """Press Ctrl-C inside the step of this number, counted from 0."""
    own = trainer.training_step

    def step(*args: Any, **kwargs: Any) -> Any:
        if trainer.state.global_step == number:
            raise KeyboardInterrupt
        return own(*args, **kwargs)

    trainer.training_step = step
    try:
        trainer.train()
    except KeyboardInterrupt:
        return
    raise AssertionError(f"the run never reached step {number}")


def check_checkpoint(make: Make, setting: Setting) -> None:
    """Learned fields are JSON or tensors, private ones lie nowhere in a checkpoint, weights are
    those that are served."""
    defense = make()
    folder = new_folder()
    outcome = trained([defense], setting, folder=folder, **SAVING)
    state = defense.state()
    tensors, rest = split_state(state)
    back = joined_state(tensors, json.loads(json.dumps(rest)))
    assert back.keys() == state.keys(), "the state does not survive a checkpoint"
    secrets, _ = split_state({name: getattr(defense, name) for name in defense.private})
    checkpoints = sorted(folder.glob("checkpoint-*"))
    assert len(checkpoints) == 2
    for checkpoint in checkpoints:
        _check_no_secret(checkpoint, secrets)
    if implements(defense, "served"):
        _check_served(checkpoints[-1], outcome)


def _check_no_secret(checkpoint: Path, secrets: dict[str, torch.Tensor]) -> None:
    """Search every file for the bytes of every private tensor, whatever the file calls it."""
    for file in (f for f in checkpoint.rglob("*") if f.is_file()):
        content = file.read_bytes()
        for name, tensor in secrets.items():
            if float(tensor.abs().max()) > 0:
                assert tensor.contiguous().numpy().tobytes() not in content, f"{name} is in {file}"
        if file.suffix == ".safetensors":
            for key, saved in load_file(file).items():
                twins = [n for n, t in secrets.items() if t.shape == saved.shape and t.equal(saved)]
                assert not twins, f"{twins} is in {file} as {key}"


def _check_served(checkpoint: Path, outcome: Outcome) -> None:
    """Compare the last checkpoint with the model after the run, from which all is detached."""
    file = next(f for f in checkpoint.glob("*model.safetensors"))
    saved = load_file(file)
    live = {n.replace(".default.", "."): w for n, w in outcome.weights.items()}
    common = saved.keys() & live.keys()
    assert common, f"{file} holds no known tensor"
    apart = gap({n: saved[n] for n in common}, {n: live[n] for n in common})
    assert apart <= TOLERANCE, f"a checkpoint is {apart:.2e} away from the served weights"


def check_leaves_nothing(make: Make, setting: Setting, cls: type | None = None) -> None:
    """After a run, model and trainer are as the plain class leaves them."""
    reference = plain(setting, **SAVING).trainer.model
    trainer: Any = new_trainer([make()], setting, cls=cls, **SAVING)
    before, start = snapshot.surroundings(trainer), weights_of(trainer.model)
    trainer.train()
    for look in (snapshot.modules, snapshot.tensors, snapshot.training_flags):
        left = snapshot.changes(look(reference), look(trainer.model))
        assert not left, "; ".join(left[:3])
    assert snapshot.gradients(trainer.model) == snapshot.gradients(reference), "gradients are left"
    _check_frozen(trainer.model, start)
    left = snapshot.changes(before, snapshot.surroundings(trainer))
    assert not left, "; ".join(left)


def check_leaves_nothing_after_errors(make: Make, setting: Setting) -> None:
    """The same after an error inside each hook, and after Ctrl-C inside forward passes."""
    for hook in (h for h in HOOKS if implements(make(), h)):
        _check_interrupted(make(), setting, hook)
    counter: Any = new_trainer([make()], setting, **SAVING)
    total = stopped_at_forward(counter, None)
    for number in sorted({0, 1, total // 2, total - 1}):
        _check_interrupted(make(), setting, number)


def _check_interrupted(defense: Defense, setting: Setting, where: str | int) -> None:
    """Break a run after the hook ``where`` did its work, or in the forward pass of that number."""
    reference = plain(setting, **SAVING).trainer.model
    trainer: Any = new_trainer([defense], setting, **SAVING)
    before, start = snapshot.surroundings(trainer), weights_of(trainer.model)
    looks = (snapshot.modules, snapshot.tensors, snapshot.training_flags)
    first = [look(trainer.model) for look in looks]
    _break(trainer, defense, where)
    for look, untouched in zip(looks, first, strict=True):
        now, finished = look(trainer.model), look(reference)
        assert now.keys() == untouched.keys(), f"other modules after an error in {where}"
        for name, state in now.items():
            allowed = (untouched[name], finished[name])
            assert state in allowed, f"{name} after an error in {where}: {state}"
    _check_frozen(trainer.model, start)
    left = snapshot.changes(before, snapshot.surroundings(trainer))
    assert not left, f"after an error in {where}: " + "; ".join(left)
    if where in ("data", "before", "attached", "gradient", "batch", "loss", 0):
        apart = gap(start, weights_of(trainer.model))
        assert apart <= TOLERANCE, f"an error in {where} left weights {apart:.2e} away"


def _break(trainer: Any, defense: Defense, where: str | int) -> None:
    if isinstance(where, int):
        stopped_at_forward(trainer, where)
        return
    with broken_hook(defense, where):
        try:
            trainer.train()
        except PlantedError:
            return
    raise AssertionError(f"an error in {where} did not reach the caller")


def _check_frozen(model: torch.nn.Module, start: dict[str, torch.Tensor]) -> None:
    for name, p in model.named_parameters():
        if not p.requires_grad:
            assert torch.equal(p, start[name]), f"frozen {name} is not as it was, bit for bit"
            assert p.grad is None, f"frozen {name} holds a gradient"


def check_pair(left: Make, right: Make, setting: Setting = FULL) -> None:
    """An ordered pair trains with every hook traced, or refuses at construction, as declared."""
    pair = [left(), right()]
    declared = pair[0].conflict(pair[1]) or pair[1].conflict(pair[0])
    trainer, refused = _built(pair, setting)
    if trainer is None:
        assert declared, f"an undeclared conflict: {refused}"
        assert all(d.card.name in refused for d in pair), f"names are missing: {refused}"
        return
    assert not declared, f"a declared conflict was not refused: {declared}"
    trainer.train()
    for defense in pair:
        for hook in set(HOOKS) - {"served"}:
            ran = (defense.card.name, hook) in trainer.trace.counts
            assert ran == implements(defense, hook), f"{defense.card.name}.{hook}: ran is {ran}"


def _built(pair: list[Defense], setting: Setting) -> tuple[Any, str]:
    """Return the trainer, or None and why it was refused."""
    try:
        return new_trainer(pair, setting), ""
    except ConflictError as error:
        return None, str(error)
