"""The contract that every defense keeps, one function per clause; each raises AssertionError.

A check takes a function that builds a fresh defense, so the suite runs it on every registered
defense and ``test_planted_faults.py`` on broken ones.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from holdfast.artifact import joined_state, split_state
from holdfast.defense import HOOKS, Defense, implements
from holdfast.errors import ConflictError
from holdfast.testing import checks
from holdfast.testing.checks import (
    SAVING,
    TOLERANCE,
    Make,
    check_accumulation,
    check_acts,
    check_interrupted,
    check_leaves_nothing,
    check_resume,
    check_seeds,
    check_strength_zero,
    check_trace,
    same_run,
)
from holdfast.training.trainer import SecureSFTTrainer, SecureTrainer, protect
from tests.contract.interruptions import stopped_at_forward
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

__all__ = [
    "SAVING",
    "TOLERANCE",
    "check_accumulation",
    "check_acts",
    "check_checkpoint",
    "check_leaves_nothing",
    "check_leaves_nothing_after_errors",
    "check_no_defense_is_plain",
    "check_pair",
    "check_resume",
    "check_seeds",
    "check_strength_zero",
    "check_trace",
]  # fmt: skip


def check_leaves_nothing_after_errors(make: Make, setting: Setting) -> None:
    """The shipped check, and the same after Ctrl-C inside forward passes."""
    checks.check_leaves_nothing_after_errors(make, setting)
    total = stopped_at_forward(new_trainer([make()], setting, **SAVING), None)
    for number in sorted({0, 1, total // 2, total - 1}):
        stop = lambda trainer, n=number: stopped_at_forward(trainer, n)  # noqa: E731
        check_interrupted(make(), setting, number, stop)


def check_no_defense_is_plain(setting: Setting, cls: type | None = None) -> None:
    """No defense: bit for bit what the wrapped class does, also through ``protect``."""
    reference = plain(setting, gradient_accumulation_steps=2)
    same_run(trained([], setting, cls=cls, gradient_accumulation_steps=2), reference)
    trainer: Any = new_trainer(None, setting, gradient_accumulation_steps=2)
    kind = cls or (SecureSFTTrainer if setting.trainer == "SFTTrainer" else SecureTrainer)
    if cls is None:
        trainer = protect(trainer, [])
        assert isinstance(trainer, kind.__mro__[1])
        trainer.train()
        assert not differing(weights_of(trainer.model), reference.weights)


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
    # Those of a run that was repaired at its end lie apart: they are not repaired.
    apart = folder.with_name(f"{folder.name}-artifacts") / "checkpoints"
    checkpoints = sorted([*folder.glob("checkpoint-*"), *apart.glob("checkpoint-*")])
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
