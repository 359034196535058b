"""Repair-stage defenses on a finished model: no training loop and no user data."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from holdfast.artifact import Artifact
from holdfast.data.chat import collate, encode
from holdfast.defense import HOOKS, Capability, Defense, Examples, Run, Stage, implements
from holdfast.errors import ConfigError, ModelError
from holdfast.ops.adapter_facts import (
    AdapterKind,
    active_adapters,
    active_parameters,
    adaptations,
)
from holdfast.ops.engine import LocalEngine
from holdfast.ops.modules import trainable
from holdfast.ops.randomness import derived_seed, isolated_rng
from holdfast.ops.roles.names import is_router
from holdfast.ops.weights import refuse_no_numbers
from holdfast.progress import Progress, silent
from holdfast.training.compose import composed, low_precision, refuse_missing
from holdfast.training.looks.defender_rows import DefenderRows
from holdfast.training.looks.suited import refuse_unsuited

__all__ = ["finished_only", "repair", "standalone_run"]


def standalone_run(model: nn.Module, tokenizer: Any = None, seed: int = 0) -> Run:
    """Return the ``Run`` of a model outside any trainer; without a tokenizer it reads no rows."""
    limit = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    pad = _padding(tokenizer)

    def prepare(rows: Examples) -> list[dict[str, list[int]]]:
        if tokenizer is None:
            raise ConfigError("rows are read with the model's tokenizer: give it as tokenizer=")
        return [
            encode(dict(rows[i]), tokenizer, limit, where=f"row {i + 1}") for i in range(len(rows))
        ]

    collator = partial(collate, pad_id=pad)
    return Run(model, LocalEngine(model), prepare, collator, seed, tokenizer=tokenizer)


def _padding(tokenizer: Any) -> int:
    named = (getattr(tokenizer, f"{kind}_token_id", None) for kind in ("pad", "eos"))
    return next((token for token in named if token is not None), 0)


def repair(
    defense: Defense,
    model: nn.Module,
    tokenizer: Any = None,
    seed: int = 0,
    *,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Artifact:
    """Run a defense's ``after`` on a finished model, in place, and return what is kept apart.

    Args:
        defense: A defense that acts in ``after`` alone, or in a mode in which it does.
        model: A causal LM, or a PEFT model whose active adapter is then the only thing edited
            (also where it was loaded for inference, with its gradients off). Weights to edit in
            float32.
        tokenizer: The model's tokenizer, with a chat template; only for a defense that reads rows.
        seed: Seed of what the defense draws.
        say: Takes lines on what the defense found.
        progress: Takes how far it is.

    Raises:
        ConfigError: The defense needs a training loop, a field is out of range, or the weights are
            not float32.
        ModelError: None or a merged one of the model's adapters is active, the defense is not
            exact on it, or what it would edit holds no numbers.
        DataError: A data set is none, or a row of it, or a row is longer than the model.
    """
    composed([defense])
    if not finished_only(defense):
        other = defense.instead(Capability.TRAINING)
        way_out = f"{other}, or " if other else ""
        before = "align" if defense.card.stage is Stage.ALIGN else "tune"
        raise ConfigError(
            f"{defense.card.name} acts while a model is trained and cannot repair a finished one: "
            f"{way_out}use it with `holdfast {before}`, and here a method that `holdfast list` "
            "shows with the stage repair"
        )
    with _numbers_in_full(model), _edited_tensors(model):
        refuse_missing([defense], low_precision(model))
        refuse_unsuited([defense], model)
        _refuse_broken(model)
        run = standalone_run(model, tokenizer, seed)
        rows = DefenderRows(run.prepare, [defense], tokenizer, None)
        rows.look()
        with isolated_rng(derived_seed(seed, defense.card.name, "after")):
            made = defense.after(replace(run, prepare=rows, say=say, progress=progress))
    return made or Artifact(defense.card.name)


def finished_only(defense: Defense) -> bool:
    """Tell whether the defense needs a finished model and nothing else of a run."""
    return implements(defense, "after") and not any(
        implements(defense, hook) for hook in HOOKS if hook not in ("after", "served")
    )


@contextmanager
def _numbers_in_full(model: nn.Module) -> Generator[None]:
    """Leave a caller's inference mode, where no gradient goes, and autocast's coarse numbers."""
    device = next((p.device.type for p in model.parameters() if not p.is_meta), "cpu")
    with torch.inference_mode(False), torch.autocast(device, enabled=False):
        yield


@contextmanager
def _edited_tensors(model: nn.Module) -> Generator[None]:
    """Let the active adapter's tensors take gradients; where there is none, all but routers."""
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    edited = _edited(model) or {name for name in flags if not is_router(name)}
    try:
        for name, p in model.named_parameters():
            p.requires_grad_(name in edited)
        yield
    finally:
        for name, p in model.named_parameters():
            p.requires_grad_(flags[name])


def _refuse_broken(model: nn.Module) -> None:
    """Raise ``ModelError`` where what would be edited holds no numbers: no edit mends that."""
    for name, p in trainable(model).items():
        refuse_no_numbers(name, p)


def _edited(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the tensors of the active adapter; none where the model has no adapter."""
    if not active_adapters(model):
        return {}
    for fact in adaptations(model):
        if fact.active and fact.kind is AdapterKind.OTHER:
            raise ModelError(
                "only LoRA adapters can be repaired; merge this one into its base first"
            )
    return active_parameters(model)
