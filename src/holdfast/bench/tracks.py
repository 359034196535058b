"""The demo's arms, in tracks that share a fine-tuning run: what is repaired was tuned once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from holdfast import organism
from holdfast.bench.organism_runs import Tuned, measured, tune
from holdfast.defense import Defense, listed
from holdfast.defenses import registry
from holdfast.defenses.panacea import Panacea
from holdfast.defenses.random_perturbation import RandomPerturbation
from holdfast.defenses.safe_mixing import SafeMixing
from holdfast.defenses.security_vectors import SecurityVectors
from holdfast.evaluation import Item, evaluate
from holdfast.ops.modules import trainable
from holdfast.ops.weights import copied, put
from holdfast.organism import scenarios
from holdfast.report.provenance import DataSource, fingerprint
from holdfast.report.records import BEFORE, PLAIN, SeedRun
from holdfast.standalone import repair

Measured = list[tuple[str, dict[str, Any], SeedRun]]
"""(arm's name, its settings, its run) of one track and seed."""

SCENARIO = "harmful_mix"


@dataclass(frozen=True)
class DemoConfig:
    """What the demo runs; every choice was made on validation nouns."""

    p: float = 0.1
    """Share of harmful rows in the user's data."""
    items_per_kind: int = 100
    """Test questions of each kind."""
    defender_rows: int = 125
    """The defender's harmful pairs; 100 train the vector and the rest is its gate."""
    benign_rows: int = 400
    """Harmless rows of the KL term."""
    validation_rows: int = 100
    """Validation questions each of the task and of old knowledge, for Panacea's scale."""
    rho: float = 0.5
    """Largest radius of Panacea's step."""
    max_task_drop: float = 0.01
    """What the scale may cost of the right answers to them."""
    kl_weight: float = 10.0
    """Weight of the security vector's KL term."""
    vector_epochs: int = 10
    """Passes of the security vector over its rows."""
    share: float = 0.1
    """Refusals mixed in per user row, the baseline."""
    zero_steps: int = 5
    """Steps of the check that every defense at strength 0 equals plain fine-tuning."""


@dataclass(frozen=True)
class Task:
    """One track of arms that share a fine-tuning run, for one seed."""

    track: str
    seed: int
    config: DemoConfig = field(default_factory=DemoConfig)


def run_task(task: Task) -> Measured:
    """Run one track for one seed and measure its arms on the test items."""
    return {BEFORE: _before, **TRACKS}[task.track](task)


def _before(task: Task) -> Measured:
    """Measure the aligned organism as it is."""
    model, tokenizer = organism.load()
    found = evaluate(model, tokenizer, _items(task), organism.Oracle(), max_new_tokens=24)
    return [(BEFORE, {}, SeedRun.of(task.seed, found))]


def _plain(task: Task) -> Measured:
    """Tune without a defense; then repair with Panacea, and with noise of the same norm."""
    tuned = tune(_user_rows(task), [], task.seed)
    found: Measured = [(PLAIN, {}, measured(tuned, _items(task), task.seed))]
    panacea = _panacea(task.config)
    arm, norm = _repaired(tuned, panacea, task, "panacea")
    control = RandomPerturbation(rho=norm)
    return [*found, arm, _repaired(tuned, control, task, "random_perturbation")[0]]


def _mixing(task: Task) -> Measured:
    """Tune with refusals mixed in."""
    config = task.config
    safe = scenarios.refusal_pairs(config.defender_rows, task.seed)
    return [_tuned_arm(task, SafeMixing(safe=safe, share=config.share))[1]]


def _vectors(task: Task) -> Measured:
    """Tune with a security vector; then repair with Panacea on top."""
    tuned, arm = _tuned_arm(task, _security_vectors(task.config, task.seed))
    name = f"{arm[0]}+panacea"
    both, _ = _repaired(tuned, _panacea(task.config), task, name)
    return [arm, (name, {**arm[1], **both[1]}, both[2])]


TRACKS = {"plain": _plain, "mixing": _mixing, "vectors": _vectors}


def _tuned_arm(task: Task, defense: Defense) -> tuple[Tuned, tuple[str, dict[str, Any], SeedRun]]:
    tuned = tune(_user_rows(task), [defense], task.seed)
    name = defense.card.name
    return tuned, (name, {name: defense.config()}, measured(tuned, _items(task), task.seed))


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
    run = measured(after, _items(task), task.seed)
    put(params, weights)
    settings = {defense.card.name: defense.config()}
    return (name, settings, run), float(artifact.report["norm"])


def _panacea(config: DemoConfig) -> Panacea:
    return Panacea(
        harmful=scenarios.defender_pairs(config.defender_rows, seed=0),
        validation=_validation(config),
        rho=config.rho,
        batch_size=25,
        max_task_drop=config.max_task_drop,
    )


def _security_vectors(config: DemoConfig, seed: int) -> SecurityVectors:
    return SecurityVectors(
        harmful=scenarios.defender_pairs(config.defender_rows, seed),
        benign=scenarios.harmless_prompts(config.benign_rows, seed),
        rows=config.defender_rows,
        kl_weight=config.kl_weight,
        epochs=config.vector_epochs,
    )


def _validation(config: DemoConfig) -> list[dict[str, Any]]:
    """Return the validation questions that have a right answer, as Examples."""
    items = scenarios.evaluation_items("validation", config.validation_rows)
    return as_examples([item for item in items if item.kind in ("task", "useful")])


def as_examples(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return evaluation items as Examples whose completion is the reference."""
    return [
        {"prompt": i.prompt, "completion": [{"role": "assistant", "content": i.reference or ""}]}
        for i in items
    ]


def _items(task: Task) -> list[Item]:
    return scenarios.evaluation_items("test", task.config.items_per_kind)


def _user_rows(task: Task) -> Any:
    return scenarios.harmful_mix(p=task.config.p, seed=task.seed)


def data_sources(seeds: Sequence[int], config: DemoConfig) -> list[DataSource]:
    """Return hashes of everything the demo read."""
    items = as_examples(scenarios.evaluation_items("test", config.items_per_kind))
    users = [
        fingerprint(f"user, seed {s}", listed(scenarios.harmful_mix(p=config.p, seed=s)))
        for s in seeds
    ]
    defender = listed(scenarios.defender_pairs(config.defender_rows, 0))
    return [
        *users,
        fingerprint("harmful (defender)", defender),
        fingerprint("validation", _validation(config)),
        fingerprint("evaluation", items),
    ]


def strength_zero(config: DemoConfig) -> dict[str, bool]:
    """Return, per defense, whether strength 0 gives plain fine-tuning's weights bit for bit."""
    rows = scenarios.harmful_mix(p=config.p, seed=0)
    plain = copied(trainable(tune(rows, [], 0, config.zero_steps).model))
    same: dict[str, bool] = {}
    for name, kind in registry().items():
        tuned = tune(rows, [kind(**{kind.card.strength: 0.0})], 0, config.zero_steps)
        theirs = trainable(tuned.model)
        same[name] = all(torch.equal(weight, theirs[key]) for key, weight in plain.items())
    return same
