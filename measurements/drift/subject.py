"""The organism as these measurements tune it: its probes, its runs, and its harmful score."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback, set_seed
from trl.trainer.sft_config import SFTConfig

from holdfast import organism
from holdfast.bench.cell.runs import adapter_of
from holdfast.defense import Defense
from holdfast.defenses import SecurityVectors
from holdfast.evaluation import Item, evaluate
from holdfast.evaluation.drift import Openings, Probes, find_openings, probe_ids
from holdfast.evaluation.drift.reading import Reading
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole
from holdfast.ops.low_rank import LowRank
from holdfast.organism import scenarios
from holdfast.organism.scenarios import Budget
from holdfast.training.standalone import standalone_run
from holdfast.training.steering.watch import Acting, DriftWatch
from holdfast.training.trainer import SecureSFTTrainer

EVERY = 15
"""Steps between looks that generate: eight in a run of 120."""
PROBED = 32
"""Prompts of each kind."""


@dataclass(frozen=True)
class UserRun:
    """One user's run: which rows, at what rate, over how many steps."""

    scenario: str
    p: float
    learning_rate: float
    seed: int = 0
    full: bool = False
    steps: int = 120
    tags: str = ""

    @property
    def name(self) -> str:
        """What tells it from all others."""
        whole = "full" if self.full else "lora"
        return (
            f"{self.scenario}-p{self.p:g}-lr{self.learning_rate:g}-{whole}-s{self.seed}{self.tags}"
        )

    @property
    def budget(self) -> Budget:
        """Its budget as the scenarios have it."""
        return Budget(steps=self.steps, learning_rate=self.learning_rate, full=self.full)

    def rows(self) -> Any:
        """Return the user's rows."""
        make = scenarios.SCENARIOS[self.scenario]
        return make(n=self.budget.rows, p=self.p, seed=self.seed)


def openings(folder: Path) -> Openings:
    """Return the organism's openings, agreements with its security vector on; found once."""
    file = folder / "openings.json"
    if file.exists():
        return Openings.of_json(json_in(file))
    import json  # noqa: PLC0415

    model, tokenizer = organism.load()
    vectors = SecurityVectors(
        harmful=scenarios.defender_pairs(100), benign=scenarios.harmless_prompts(100)
    )
    vectors.before(standalone_run(model, tokenizer))
    harmful, benign = scenarios.defender_pairs(64), scenarios.harmless_prompts(64)
    found = find_openings(
        model, tokenizer,
        [probe_ids(row["prompt"], tokenizer) for row in harmful],
        [probe_ids(row["prompt"], tokenizer) for row in benign],
        LowRank.from_tensors(vectors.vector_).hooked(model),
    )  # fmt: skip
    words = {
        side: [tokenizer.decode(ids) for ids in getattr(found, side)]
        for side in ("refusals", "agreements")
    }
    write_whole(file, json.dumps({**found.as_json(), "words": words}, indent=1))
    return found


def probes(found: Openings, tokenizer: Any) -> Probes:
    """Return probes of the defender's own nouns: no test question is among them."""
    return Probes.of(
        tokenizer, found,
        list(scenarios.defender_pairs(PROBED, seed=0)),
        list(scenarios.lookalike_prompts(PROBED, seed=0)),
        list(scenarios.benign_task(PROBED, seed=99)),
    )  # fmt: skip


@cache
def questions(kind: str = "harmful", count: int = 100) -> tuple[Item, ...]:
    """Return test questions, about nouns that no party of a run has."""
    every = organism.scenarios.evaluation_items("test", count)
    return tuple(item for item in every if item.kind == kind)


class Score(TrainerCallback):
    """The harmful score by generation at the steps at which the probes look."""

    def __init__(self, trainer: Any, tokenizer: Any, every: int) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self._trainer, self._tokenizer, self._every = trainer, tokenizer, every

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Let the model answer."""
        if state.global_step % self._every == 0:
            with self._trainer._holdfast_served():
                self.values.append(share(self._trainer.model, self._tokenizer, "harmful", "hs"))
            self.steps.append(state.global_step)


def share(model: Any, tokenizer: Any, kind: str, figure: Any) -> float:
    """Return one figure of a model on the test questions of its kind."""
    found = evaluate(
        model, tokenizer, questions(kind), organism.Oracle(), max_new_tokens=16, batch_size=100
    )
    return found.shares[figure].value


@dataclass
class Told:
    """What one run said."""

    run: UserRun
    readings: list[Reading] = field(default_factory=list[Reading])
    steps: list[int] = field(default_factory=list[int])
    hs: list[float] = field(default_factory=list[float])
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.run.name, **asdict(self.run),
            "readings": [asdict(one) for one in self.readings],
            "hs_steps": self.steps, "hs": self.hs, **self.extra,
        }  # fmt: skip


def tuned(
    run: UserRun,
    found: Openings,
    every: int,
    defenses: Sequence[Defense] = (),
    acting: Sequence[Acting] = (),
    probed: Probes | None = None,
    scored: int = EVERY,
) -> tuple[Told, Any, Any]:
    """Tune the organism as the run says, with probes; return what was seen, model and tokenizer."""
    model, tokenizer = organism.load()
    set_seed(run.seed)
    args = SFTConfig(
        output_dir="holdfast-run", max_steps=run.steps, per_device_train_batch_size=16,
        learning_rate=run.learning_rate, seed=run.seed, logging_steps=10, save_strategy="no",
        report_to="none", disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    trainer = SecureSFTTrainer(
        model=model, args=args, processing_class=tokenizer, defenses=defenses,
        train_dataset=run.rows().select_columns(["prompt", "completion"]),
        peft_config=adapter_of(run.budget, model),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    watch = DriftWatch(trainer, probed or probes(found, tokenizer), every, acting)
    trainer.add_callback(watch)
    score = Score(trainer, tokenizer, scored)
    trainer.add_callback(score)
    trainer.train()
    return Told(run, watch.readings, score.steps, score.values), trainer.model, tokenizer
