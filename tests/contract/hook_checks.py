"""Clauses of the hooks that no registered defense uses yet, on the test-only ones of ``probes``."""

from typing import Any

import torch
from torch import nn

from tests.contract.checks import TOLERANCE
from tests.contract.probes import KeptWeights, PromptsHidden, RoleRates, SameLossAgain, hidden
from tests.contract.runs import (
    Outcome,
    Setting,
    Weights,
    differing,
    gap,
    new_trainer,
    plain,
    trained,
    weights_of,
)

DECAY: dict[str, Any] = {"weight_decay": 0.1}


def _of_role(weights: Weights) -> Weights:
    return {n: w for n, w in weights.items() if "q_proj" in n}


def _without_role(weights: Weights) -> Weights:
    return {n: w for n, w in weights.items() if "q_proj" not in n}


def _start(setting: Setting) -> Weights:
    return weights_of(new_trainer(None, setting, **DECAY).model)


def check_rate_one_is_plain(setting: Setting) -> None:
    """Multipliers of 1 leave weights, losses and groups as they are, bit for bit."""
    run = trained([RoleRates(ratio=1.0)], setting, **DECAY)
    reference = plain(setting, **DECAY)
    assert not differing(run.weights, reference.weights), "ratio 1 is not plain"
    assert run.losses == reference.losses
    groups = [
        [len(g["params"]) for g in o.trainer.optimizer.param_groups] for o in (run, reference)
    ]
    assert groups[0] == groups[1], "ratio 1 split a group"


def check_rate_zero_keeps_weights(setting: Setting) -> None:
    """A multiplier of 0 leaves its tensors bit for bit; the others learn."""
    run = trained([RoleRates(ratio=0.0)], setting, **DECAY).weights
    start = _start(setting)
    moved = differing(_of_role(run), _of_role(start))
    assert not moved, f"{moved[:1]} moved at rate 0"
    assert differing(_without_role(run), _without_role(start)), "nothing else learned"


def check_rate_of_progress(setting: Setting) -> None:
    """A multiplier that becomes 0 half-way stops its tensors there."""
    whole = trained([RoleRates(until=0.5)], setting, **DECAY).weights
    half = _weights_after(2, setting)
    assert not differing(_of_role(whole), _of_role(half)), "the role moved after it was stopped"
    assert differing(_of_role(half), _of_role(_start(setting))), "the role never moved"
    assert differing(_without_role(whole), _without_role(half)), "nothing else learned"


def _weights_after(steps: int, setting: Setting) -> Weights:
    trainer: Any = new_trainer([RoleRates(until=0.5)], setting, **DECAY)
    kept: list[Weights] = []
    own = trainer.training_step

    def step(*args: Any, **kwargs: Any) -> Any:
        kept.append(weights_of(trainer.model))
        return own(*args, **kwargs)

    trainer.training_step = step
    trainer.train()
    return kept[steps]


def check_groups_keep_decay(setting: Setting) -> None:
    """Splitting groups keeps each tensor's weight decay, every tensor once."""
    run, reference = trained([RoleRates(ratio=0.3)], setting, **DECAY), plain(setting, **DECAY)
    ours, theirs = _decays(run), _decays(reference)
    assert ours == theirs, "weight decay moved between tensors"
    split, whole = (len(o.trainer.optimizer.param_groups) for o in (run, reference))
    assert split > whole, "no group was split"


def _decays(run: Outcome) -> dict[str, float]:
    names = {p: n for n, p in run.trainer.model.named_parameters()}
    found: dict[str, float] = {}
    for group in run.trainer.optimizer.param_groups:
        for p in group["params"]:
            assert names[p] not in found, f"{names[p]} is in two groups"
            found[names[p]] = group["weight_decay"]
    return found


def check_rates_logged(setting: Setting, schedule: str = "cosine") -> None:
    """Each log holds every group's rate of its update: the schedule's shape times the ratio."""
    options = {**DECAY, "lr_scheduler_type": schedule, "warmup_steps": 1}
    run, reference = trained([RoleRates(ratio=0.3)], setting, **options), plain(setting, **options)
    shape = [r["learning_rate"] for r in reference.trainer.state.log_history if "loss" in r]
    logs = [r for r in run.trainer.state.log_history if "loss" in r]
    assert len(logs) == len(shape) == 4
    groups = len(run.trainer.optimizer.param_groups)
    for log, base in zip(logs, shape, strict=True):
        rates = {k: v for k, v in log.items() if k.startswith("learning_rate/")}
        assert len(rates) == groups, f"{len(rates)} rates of {groups} groups"
        for key, rate in rates.items():
            wanted = base * (0.3 if key.endswith(":q") else 1.0)
            assert abs(rate - wanted) <= 1e-9, f"{key} is {rate}, not {wanted}"


def check_loss_hook(setting: Setting) -> None:
    """A term equal to the user's own loss is the same run at twice the rate, also accumulated.

    The answers of one step have different lengths, so a term weighed by micro-batches fails.
    """
    options = {"optim": "sgd", "max_grad_norm": 0.0, "gradient_accumulation_steps": 2, "rows": 10}
    twice = trained([SameLossAgain()], setting, learning_rate=0.05, **options).weights
    reference = plain(setting, learning_rate=0.1, **options).weights
    apart = gap(twice, reference)
    assert apart <= TOLERANCE, f"the term is weighed wrongly: {apart:.2e}"


def check_batch_hook(setting: Setting) -> None:
    """What ``batch`` returns is what is learned from: as if the collator had changed it."""
    ours = trained([PromptsHidden()], setting).weights
    trainer: Any = new_trainer(None, setting)
    collator = trainer.data_collator

    def collate(rows: list[Any]) -> dict[str, torch.Tensor]:
        batch = dict(collator(rows))
        return {**batch, "input_ids": hidden(batch["input_ids"])}

    trainer.data_collator = collate
    trainer.train()
    apart = differing(ours, weights_of(trainer.model))
    assert not apart, f"{apart[:1]} was trained on another batch"
    assert differing(ours, plain(setting).weights), "the batch was not changed"


def check_after_update_hook(setting: Setting) -> None:
    """``after_update`` runs once after each optimizer step, and what it puts back stays."""
    probe = KeptWeights()
    run = trained([probe], setting, gradient_accumulation_steps=2).weights
    start = _start(setting)
    assert probe.seen_ == [0, 1, 2, 3], f"steps seen: {probe.seen_}"
    assert not differing(_of_role(run), _of_role(start)), "a weight moved after it was put back"
    assert differing(_without_role(run), _without_role(start)), "nothing else learned"


def linear(model: nn.Module) -> nn.Linear:
    """Return the first projection of the first layer."""
    return next(m for n, m in model.named_modules() if n.endswith("q_proj"))  # type: ignore[return-value]
