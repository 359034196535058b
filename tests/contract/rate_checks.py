"""What ml_lr and swat must hold beyond the contract (specification, section 6).

Every check takes a function that builds the defense, so that ``test_module_rates.py`` runs it on
broken ones as well.
"""

from typing import Any

from torch import nn

from holdfast.defense import Defense
from holdfast.ops.modules import canonical, ref_of, trainable
from holdfast.testing.checks import Make
from tests.contract.runs import Setting, Weights, differing, gap, new_trainer, trained, weights_of
from tests.contract.settings import ROBUST

DECAY: dict[str, Any] = {"weight_decay": 0.1}
HARD: dict[str, Any] = {**DECAY, "gradient_accumulation_steps": 2, "max_grad_norm": 0.05}
"""Decay, accumulation, and clipping that always cuts."""


def is_robust(name: str) -> bool:
    """Tell whether the parameter of this name belongs to Mods_Rob of the contract's file."""
    ref = ref_of(canonical(name))
    return (ref.layer, ref.role) in ROBUST


def _parts(model: nn.Module, weights: Weights) -> tuple[Weights, Weights]:
    """Split the trained tensors into those of Mods_Rob and the rest."""
    names = {n for n, p in model.named_parameters() if p.requires_grad}
    robust = {n: weights[n] for n in names if is_robust(n)}
    rest = {n: weights[n] for n in names if not is_robust(n)}
    assert robust, "no tensor of Mods_Rob is trained"
    assert rest, "every trained tensor is in Mods_Rob"
    return robust, rest


def history(defense: Defense, setting: Setting, **options: Any) -> tuple[Any, list[Weights]]:
    """Train and return the trainer with the weights before each step and at the end."""
    trainer: Any = new_trainer([defense], setting, **options)
    seen: dict[int, Weights] = {}
    own = trainer.training_step

    def step(*args: Any, **kwargs: Any) -> Any:
        seen.setdefault(trainer.state.global_step, weights_of(trainer.model))
        return own(*args, **kwargs)

    trainer.training_step = step
    trainer.train()
    return trainer, [*seen.values(), weights_of(trainer.model)]


def check_warmup(make: Make, setting: Setting, held: int = 3, **options: Any) -> None:
    """For ``held`` steps Mods_Rob moves and the rest is bit-identical; then both move."""
    trainer, weights = history(make(), setting, **HARD, **options)
    split = [_parts(trainer.model, w) for w in weights]
    start = split[0]
    assert len(split) == trainer.state.max_steps + 1
    assert len(split) > held + 1
    for number, (robust, rest) in enumerate(split[1:], start=1):
        assert differing(robust, start[0]), f"Mods_Rob has not moved after {number} steps"
        moved = differing(rest, start[1])
        if number <= held:
            assert not moved, f"{moved[:1]} moved in step {number} of the warm-up"
        else:
            assert moved, f"the rest is still held after {number} steps"


def check_ratio_zero(make: Make, setting: Setting) -> None:
    """Ratio 0 is what plain fine-tuning gives with everything outside Mods_Rob frozen by hand."""
    ours: Any = trained([make()], setting, **HARD)
    plain: Any = new_trainer(None, setting, **HARD)
    for name, p in trainable(plain.model).items():
        p.requires_grad_(is_robust(name))
    plain.train()
    apart = differing(ours.weights, weights_of(plain.model))
    assert not apart, f"{apart[:1]} is not what freezing by hand gives"


def check_same_as(make: Make, other: Make, setting: Setting) -> None:
    """Two ways to hold the rest give the same weights and losses, bit for bit."""
    one, two = trained([make()], setting, **HARD), trained([other()], setting, **HARD)
    apart = differing(one.weights, two.weights)
    assert not apart, f"{apart[:1]} differs"
    assert one.losses == two.losses


def check_off_with_decay(make: Make, setting: Setting) -> None:
    """At strength off, given a list or not, it is plain fine-tuning bit for bit."""
    plain = trained(None, setting, **HARD)
    assert not differing(trained([make()], setting, **HARD).weights, plain.weights)


def check_rates(make: Make, setting: Setting, schedule: str) -> None:
    """Each group's logged rate is the schedule's own times the method's, step by step."""
    options = {**DECAY, "lr_scheduler_type": schedule, "warmup_steps": 1}
    defense: Any = make()
    run, plain = trained([defense], setting, **options), trained(None, setting, **options)
    base = [r["learning_rate"] for r in plain.trainer.state.log_history if "loss" in r]
    logs = [r for r in run.trainer.state.log_history if "loss" in r]
    names = {p: n for n, p in run.trainer.model.named_parameters()}
    groups = run.trainer.optimizer.param_groups
    kinds = [{is_robust(names[p]) for p in g["params"]} for g in groups]  # Of an empty group: none.
    assert kinds[0] == {True}, "the first group, whose rate the trainer logs, is not Mods_Rob"
    assert {False} in kinds
    assert {True, False} not in kinds
    for step, (log, rate) in enumerate(zip(logs, base, strict=True)):
        found = [v for k, v in log.items() if k.startswith("learning_rate/")]
        wanted = [rate * defense.rate(kind != {False}, step / 4) for kind in kinds]
        off = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
        assert off <= 1e-12, f"step {step}: rates {found}, not {wanted}"


def check_decay_kept(make: Make, setting: Setting) -> None:
    """Every trained tensor is in one group and decays as under the plain trainer."""
    found = []
    for run in (trained([make()], setting, **DECAY), trained(None, setting, **DECAY)):
        names = {p: n for n, p in run.trainer.model.named_parameters()}
        groups = run.trainer.optimizer.param_groups
        found.append(sorted((names[p], g["weight_decay"]) for g in groups for p in g["params"]))
    assert found[0] == found[1], "weight decay moved between tensors"


def check_recomputed(make: Make, setting: Setting, *, reentrant: bool) -> None:
    """Recomputed activations change nothing, in the warm-up and after it."""
    how = {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": reentrant},
    }
    apart = gap(trained([make()], setting, **how).weights, trained([make()], setting).weights)
    assert apart <= 1e-6, f"recomputed activations move the weights by {apart:.2e}"
