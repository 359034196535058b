"""What the demo runs on what: its settings, its scenarios, the data of every party."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from datasets import Dataset

from holdfast import organism
from holdfast.analysis.analyze import AnalysisSettings, analyze, probed_model
from holdfast.analysis.modules.perturbation import Probed
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.probing.prompts import Prompts, with_tokenizer
from holdfast.defense import listed
from holdfast.defenses.ml_lr import MLLR
from holdfast.defenses.swat import SWAT
from holdfast.evaluation import Item
from holdfast.files.hashes import sha256_of
from holdfast.organism import scenarios
from holdfast.results.provenance import DataSource, fingerprint

__all__ = [
    "BENIGN", "HARMFUL_MIX", "SCENARIOS", "DemoConfig", "Task", "as_examples", "base",
    "data_sources", "find_modules", "robust_modules", "validation",
]  # fmt: skip

HARMFUL_MIX = "harmful_mix"
BENIGN = ("benign_obedience", "benign_knowledge")
SCENARIOS = (HARMFUL_MIX, *BENIGN)


@dataclass(frozen=True)
class DemoConfig:
    """What the demo runs; every choice was made on validation nouns."""

    p: float = 0.1
    """Share of harmful rows in the data of the harmful mix; the benign scenarios have none."""
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
    tau: float = AnalysisSettings.tau
    """Share of all modules' damage that Mods_Rob may do."""
    ratio: float = MLLR.ratio
    """ML-LR: learning rate of the rest relative to Mods_Rob's."""
    boost: float = 2.0
    """Learning rate of Mods_Rob over the user's in the harmful mix."""
    warmup: float = SWAT.warmup
    """SWAT: share of the steps in which Mods_Rob learns alone."""


@dataclass(frozen=True)
class Task:
    """One track of arms that share a fine-tuning run, for one scenario and seed."""

    track: str
    seed: int
    config: DemoConfig = field(default_factory=DemoConfig)
    scenario: str = HARMFUL_MIX
    modules: Path | None = None
    """The robust_modules.json of the run."""
    split: str = "test"
    """Which items measure it; what is chosen is chosen on "validation"."""

    @property
    def rows(self) -> Dataset:
        """The user's rows."""
        return scenarios.SCENARIOS[self.scenario](p=self.p, seed=self.seed)

    @property
    def p(self) -> float:
        """Share of harmful rows."""
        return self.config.p if self.scenario == HARMFUL_MIX else 0.0

    @property
    def items(self) -> list[Item]:
        """The questions that measure the run."""
        return scenarios.evaluation_items(self.split, self.config.items_per_kind, self.scenario)


def validation(config: DemoConfig, scenario: str) -> list[dict[str, Any]]:
    """Return the validation questions that have a right answer, as Examples."""
    items = scenarios.evaluation_items("validation", config.validation_rows, scenario)
    return as_examples([item for item in items if item.kind in ("task", "useful")])


def as_examples(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return evaluation items as Examples whose completion is the reference."""
    return [
        {"prompt": i.prompt, "completion": [{"role": "assistant", "content": i.reference or ""}]}
        for i in items
    ]


def data_sources(tasks: Sequence[Task]) -> list[DataSource]:
    """Return hashes of everything that the tasks read."""
    found: dict[str, DataSource] = {}
    for task in tasks:
        items = as_examples(task.items)
        found[f"evaluation, {task.scenario}"] = fingerprint(f"evaluation, {task.scenario}", items)
        name = f"user, {task.scenario}, seed {task.seed}"
        if name not in found:
            found[name] = fingerprint(name, listed(task.rows))
    config = tasks[0].config
    defender = listed(scenarios.defender_pairs(config.defender_rows, 0))
    found["harmful"] = fingerprint("harmful (defender)", defender)
    found["validation"] = fingerprint("validation", validation(config, HARMFUL_MIX))
    return list(found.values())


def find_modules(config: DemoConfig, path: Path) -> RobustModules:
    """Analyze the aligned organism on the defender's prompts and write Mods_Rob to ``path``."""
    found = robust_modules(organism.load(), *_prompts(config), config.tau, "organism")
    found.save(path)
    return found


def robust_modules(
    pair: tuple[Any, Any], harmful: Dataset, benign: Dataset, tau: float, name: str
) -> RobustModules:
    """Return Mods_Rob of (model, tokenizer) by the gradient, on these prompts; ``name`` is kept."""
    model, tokenizer = pair
    prompts = Prompts.checked(with_tokenizer(tokenizer), harmful, benign)
    identity = {"model": name, "probe_sha256": sha256_of([*listed(harmful), *listed(benign)])}
    return analyze(model, prompts, AnalysisSettings(tau=tau), identity=identity).robust


def _prompts(config: DemoConfig) -> tuple[Dataset, Dataset]:
    """Return the defender's harmful rows and as many harmless ones."""
    count = config.defender_rows
    return scenarios.defender_pairs(count, 0), scenarios.harmless_prompts(count, 0)


@cache
def base(config: DemoConfig) -> Probed:
    """Return the untouched organism with its probe; one for each process."""
    model, tokenizer = organism.load()
    prompts = Prompts.checked(with_tokenizer(tokenizer), *_prompts(config))
    return probed_model(model, prompts, AnalysisSettings())
