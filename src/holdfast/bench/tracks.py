"""The demo's arms, in tracks that share a fine-tuning run: what is repaired was tuned once."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from holdfast.analysis.changes import movement
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.bench.cell.runs import Tuned, examined, measured, tune
from holdfast.bench.demo_plan import BENIGN, HARMFUL_MIX, DemoConfig, Task, base, validation
from holdfast.bench.subject.organism import ORGANISM_SUBJECT
from holdfast.defense import Defense
from holdfast.defenses import built_in
from holdfast.defenses.ml_lr import MLLR
from holdfast.defenses.panacea import Panacea
from holdfast.defenses.random_perturbation import RandomPerturbation
from holdfast.defenses.safe_mixing import SafeMixing
from holdfast.defenses.security_vectors import SecurityVectors
from holdfast.defenses.swat import SWAT
from holdfast.ops.modules import trainable
from holdfast.ops.weights import copied, put
from holdfast.organism import scenarios
from holdfast.results.records import BEFORE, PLAIN, Movement, SeedRun
from holdfast.training.standalone import repair

__all__ = ["TRACKS", "Measured", "arm_order", "run_task", "strength_zero"]

Measured = list[tuple[str, dict[str, Any], SeedRun]]
"""(arm's name, its settings, its run) of one track and seed."""


def run_task(task: Task) -> Measured:
    """Run one track for one seed and measure its arms."""
    return _TRACKS[task.track](task)


def _before(task: Task) -> Measured:
    """Measure the aligned organism as it is."""
    found = examined(*ORGANISM_SUBJECT.load(), task.items, ORGANISM_SUBJECT)
    return [(BEFORE, {}, SeedRun.of(task.seed, found))]


def _plain(task: Task) -> Measured:
    """Tune without a defense."""
    return [_tuned(task)[1]]


def _plain_repaired(task: Task) -> Measured:
    """Tune without a defense; then repair with Panacea, and with noise of the same norm."""
    tuned, plain = _tuned(task)
    arm, norm = _repaired(tuned, _panacea(task), task, "panacea")
    control = RandomPerturbation(rho=norm)
    return [plain, arm, _repaired(tuned, control, task, "random_perturbation")[0]]


def _mixing(task: Task) -> Measured:
    """Tune with refusals mixed in."""
    config = task.config
    safe = scenarios.refusal_pairs(config.defender_rows, task.seed)
    return [_tuned(task, SafeMixing(safe=safe, share=config.share))[1]]


def _vectors(task: Task) -> Measured:
    """Tune with a security vector; then repair with Panacea on top."""
    tuned, arm = _tuned(task, _security_vectors(task))
    return [arm, _on_top(tuned, arm, task)]


def _vectors_swat(task: Task) -> Measured:
    """Tune with a security vector while SWAT says which modules learn."""
    return [_tuned(task, _security_vectors(task), _swat(task))[1]]


def _swat_repaired(task: Task) -> Measured:
    """Tune with SWAT; then repair with Panacea on top."""
    tuned, arm = _tuned(task, _swat(task))
    return [arm, _on_top(tuned, arm, task)]


def _by_modules(kind: type[MLLR] | type[SWAT], subset: str) -> Any:
    """Return the track that tunes with ML-LR or SWAT on Mods_Rob or on a control subset."""

    def track(task: Task) -> Measured:
        make = _ml_lr if kind is MLLR else _swat
        return [_tuned(task, make(task, subset))[1]]

    return track


_TRACKS = {
    "before": _before,
    "plain": _plain,
    "plain, repaired": _plain_repaired,
    "safe_mixing": _mixing,
    "security_vectors": _vectors,
    "security_vectors+swat": _vectors_swat,
    "swat, repaired": _swat_repaired,
    **{
        kind.card.name + ("" if subset == "robust" else f"({subset})"): _by_modules(kind, subset)
        for kind in (MLLR, SWAT)
        for subset in ("robust", "random", "complement")
    },
}
_OF_BENIGN = ("plain", "ml_lr", "swat")
TRACKS = {
    HARMFUL_MIX: (
        "plain, repaired", "safe_mixing", "security_vectors", "ml_lr", "swat, repaired",
        "security_vectors+swat",
    ),
    **dict.fromkeys(BENIGN, _OF_BENIGN),
}  # fmt: skip
"""Which tracks the demo runs in each scenario."""


def _tuned(task: Task, *defenses: Defense) -> tuple[Tuned, tuple[str, dict[str, Any], SeedRun]]:
    budget = scenarios.BUDGETS[task.scenario]
    tuned = tune(task.rows, defenses, task.seed, budget=budget)
    settings = {d.card.name: _settings(d) for d in defenses}
    name = "+".join(map(_name, defenses)) or PLAIN
    return tuned, (name, settings, _measured(tuned, task))


def _settings(defense: Defense) -> dict[str, Any]:
    """Return the hyperparameters; of a file its name, because the run's folder moves at the end."""
    return {n: Path(v).name if n == "modules" else v for n, v in defense.config().items()}


def _name(defense: Defense) -> str:
    label = defense.variant().label
    return defense.card.name + (f"({label})" if label else "")


def _measured(tuned: Tuned, task: Task) -> SeedRun:
    """Measure the answers, and how far the weights and security features moved."""
    moved: Movement | None = None
    if task.modules is not None:
        moved = Movement.model_validate(
            movement(base(task.config), RobustModules.load(task.modules), tuned.model)
        )
    return measured(tuned, task.items, task.seed, moved)


def _on_top(
    tuned: Tuned, arm: tuple[str, dict[str, Any], SeedRun], task: Task
) -> tuple[str, dict[str, Any], SeedRun]:
    """Return the arm of Panacea on top of ``arm``."""
    name = f"{arm[0]}+panacea"
    both, _ = _repaired(tuned, _panacea(task), task, name)
    return name, {**arm[1], **both[1]}, both[2]


def _repaired(
    tuned: Tuned, defense: Defense, task: Task, name: str
) -> tuple[tuple[str, dict[str, Any], SeedRun], float]:
    """Repair the tuned model, measure it, put its weights back; return the arm and ε's norm."""
    params = trainable(tuned.model)
    weights, start = copied(params), time.perf_counter()
    artifact = repair(defense, tuned.model, tuned.tokenizer, task.seed)
    took = time.perf_counter() - start
    trace = {"defense": defense.card.name, "hook": "after", "calls": 1, "seconds": took}
    after = replace(
        tuned,
        seconds=tuned.seconds + took,
        trace=[*tuned.trace, trace],
        artifacts=[*tuned.artifacts, artifact],
    )
    run = _measured(after, task)
    put(params, weights)
    settings = {defense.card.name: defense.config()}
    return (name, settings, run), float(artifact.report["norm"])


def _panacea(task: Task) -> Panacea:
    config = task.config
    return Panacea(
        harmful=scenarios.defender_pairs(config.defender_rows, seed=0),
        validation=validation(config, task.scenario),
        rho=config.rho,
        batch_size=25,
        max_task_drop=config.max_task_drop,
    )


def _security_vectors(task: Task) -> SecurityVectors:
    config = task.config
    return SecurityVectors(
        harmful=scenarios.defender_pairs(config.defender_rows, task.seed),
        benign=scenarios.harmless_prompts(config.benign_rows, task.seed),
        rows=config.defender_rows,
        kl_weight=config.kl_weight,
        epochs=config.vector_epochs,
    )


def _ml_lr(task: Task, subset: Any = "robust") -> MLLR:
    return MLLR(ratio=task.config.ratio, boost=_boost(task), modules=task.modules, subset=subset)


def _swat(task: Task, subset: Any = "robust") -> SWAT:
    return SWAT(warmup=task.config.warmup, boost=_boost(task), modules=task.modules, subset=subset)


def _boost(task: Task) -> float:
    """Return the rate of Mods_Rob: at LoRA's budget so few modules learn nothing at the user's."""
    return 1.0 if scenarios.BUDGETS[task.scenario].full else task.config.boost


def strength_zero(config: DemoConfig) -> dict[str, bool]:
    """Return, per defense, whether it at no strength gives plain fine-tuning bit for bit."""
    rows = scenarios.harmful_mix(p=config.p, seed=0)
    plain = copied(trainable(tune(rows, [], 0, config.zero_steps).model))
    same: dict[str, bool] = {}
    for name, kind in built_in().items():
        tuned = tune(rows, [kind(**{kind.card.strength: kind.card.off})], 0, config.zero_steps)
        theirs = trainable(tuned.model)
        same[name] = all(torch.equal(weight, theirs[key]) for key, weight in plain.items())
    return same


def arm_order(names: Sequence[str]) -> list[str]:
    """Return arms in the order of the report: untouched, plain, single methods, combinations."""
    first = [BEFORE, PLAIN, *built_in()]
    known = {name: at for at, name in enumerate(first)}

    def key(name: str) -> tuple[int, int, str]:
        parts = name.split("+")
        return len(parts), known.get(parts[0].split("(")[0], len(first)), name

    return sorted(dict.fromkeys(names), key=key)
