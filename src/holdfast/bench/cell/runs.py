"""Fine-tuning runs of a bench, plain or defended, each measured on its questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback, set_seed
from trl.trainer.sft_config import SFTConfig

from holdfast.artifact import Artifact
from holdfast.bench.cell.cost import Cost, Stopwatch
from holdfast.bench.subject.organism import ORGANISM_SUBJECT, Subject
from holdfast.defense import Defense, Examples
from holdfast.evaluation import Item, Measurement, evaluate
from holdfast.evaluation.fidelity import kept_answers
from holdfast.inputs.judging import judges_for
from holdfast.ops.agreement import agreement
from holdfast.organism import scenarios
from holdfast.organism.scenarios import Budget
from holdfast.results.diagnose import diagnose
from holdfast.results.provenance import peak_memory_gib, this_machine
from holdfast.results.records import Diagnostics, LossCurve, Movement, SeedRun
from holdfast.training.lora_targets import on_projections
from holdfast.training.serving.trained import trained_model
from holdfast.training.sft_options import lora
from holdfast.training.trainer import SecureSFTTrainer

__all__ = ["HarmfulLossProbe", "Tuned", "adapter_of", "examined", "measured", "tune"]

PROBE_EVERY = 10


@dataclass
class Tuned:
    """A model that a run has tuned, with what the run says of itself."""

    model: Any
    tokenizer: Any
    cost: Cost
    losses: list[LossCurve]
    trace: list[dict[str, Any]]
    artifacts: list[Artifact]
    peak_memory_gib: float | None = None
    """Where it was tuned by another process; else the process tells."""


class HarmfulLossProbe(TrainerCallback):
    """Measures the harmful loss of the model as it would be served, every few steps."""

    def __init__(self, trainer: SecureSFTTrainer, rows: Examples, every: int) -> None:
        self.steps: list[int] = []
        self.losses: list[float | None] = []
        self.cost = Cost()
        self._trainer, self._rows, self._every = trainer, rows, every

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Measure after every k-th optimizer step."""
        session, watch = self._trainer.session, Stopwatch()
        if session is None or not len(self._rows) or state.global_step % self._every:
            return
        with session.served():
            batches = session.run.batches(self._rows, len(self._rows))
            loss = agreement(session.run.engine, batches)[0]
        self.steps.append(state.global_step)
        self.losses.append(loss)
        self.cost += watch.cost


def tune(
    rows: Dataset,
    defenses: Sequence[Defense],
    seed: int,
    budget: Budget = scenarios.BUDGET,
    start: Path | None = None,
    subject: Subject = ORGANISM_SUBJECT,
) -> Tuned:
    """Fine-tune the subject's model, the aligned organism by default, on ``rows``.

    Args:
        rows: The user's Examples.
        defenses: Defenses, the first outermost; none for plain fine-tuning.
        seed: Seed of the adapter's start, the order of rows and the defenses.
        budget: Steps, over which the learning rate falls to 0, and what is trained in them.
        start: Folder of a model that was aligned further; the subject's own by default.
        subject: Whose model it is.
    """
    model, tokenizer = subject.load(start)
    set_seed(seed)  # The adapter is drawn while the trainer is built.
    watch = Stopwatch()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        trainer = SecureSFTTrainer(
            model=model,
            args=_settings(budget, seed, folder, subject.trainer_options(model, tokenizer)),
            train_dataset=rows.select_columns(["prompt", "completion"]),
            processing_class=tokenizer,
            peft_config=adapter_of(budget, model),
            defenses=defenses,
        )
        probe = HarmfulLossProbe(trainer, subject.probe() or [], PROBE_EVERY)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(probe)
        trainer.train()
    cost = watch.cost - probe.cost
    return Tuned(
        trained_model(trainer),
        tokenizer,
        cost,
        _losses(trainer, probe),
        trainer.trace.rows(),
        list(trainer.artifacts),
    )


def _losses(trainer: Any, probe: HarmfulLossProbe) -> list[LossCurve]:
    log = [row for row in trainer.state.log_history if "loss" in row]
    steps = [int(row["step"]) for row in log]
    return [
        LossCurve(name="user", steps=steps, values=[float(row["loss"]) for row in log]),
        LossCurve(name="harmful", steps=probe.steps, values=probe.losses),
    ]


def adapter_of(budget: Budget, model: Any) -> LoraConfig | None:
    """Return the adapter that a cell trains; None where it trains all weights."""
    if budget.full:
        return None
    return on_projections(lora(budget.lora_rank, budget.lora_alpha), model)[0]


def _settings(budget: Budget, seed: int, folder: str, options: Mapping[str, Any]) -> SFTConfig:
    return SFTConfig(
        output_dir=folder,  # Nothing is written to it, and yet it is made where it is not there.
        max_steps=budget.steps,
        per_device_train_batch_size=budget.batch,
        learning_rate=budget.learning_rate,
        seed=seed,
        logging_steps=5,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **options,
    )


def measured(
    tuned: Tuned,
    items: Sequence[Item],
    seed: int,
    movement: Movement | None = None,
    diagnostics: Mapping[str, Diagnostics] | None = None,
    subject: Subject = ORGANISM_SUBJECT,
) -> SeedRun:
    """Let the tuned model answer the items and return the run's record.

    ``diagnostics`` are those of stages whose artifacts are not at hand.
    """
    return SeedRun.of(
        seed,
        examined(tuned.model, tuned.tokenizer, items, subject),
        seconds=tuned.cost.seconds,
        cpu_seconds=tuned.cost.cpu_seconds,
        peak_memory_gib=tuned.peak_memory_gib or peak_memory_gib(),
        machine=this_machine().computes_on,
        losses=tuned.losses,
        trace=tuned.trace,
        diagnostics={**(diagnostics or {}), **diagnose(tuned.artifacts)},
        movement=movement,
    )


def examined(model: Any, tokenizer: Any, items: Sequence[Item], subject: Subject) -> Measurement:
    """Let a model answer the items, and the judges of its kind read the answers."""
    found = evaluate(
        model,
        tokenizer,
        items,
        judges_for(subject.name).judges,
        max_new_tokens=subject.max_new_tokens,
        batch_size=subject.batch_of_answers,
    )
    if not subject.keeps_answers:
        return found
    useful = [item for item in items if item.kind == "useful"]
    return found.with_kept(kept_answers(model, tokenizer, useful))
