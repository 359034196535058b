"""One fine-tuning run with defenses, from files to a folder that appears whole or not at all.

Everything that can be refused is refused before anything is written. The run itself lives in
``.OUTPUT.partial``: its checkpoints survive a kill, a full disk and Ctrl-C, and ``resume`` goes on
from them.
"""

import time
from typing import Any

from transformers import PrinterCallback, TrainerCallback, set_seed

from holdfast.commands.exports import nothing_apart
from holdfast.commands.notes import Notes
from holdfast.commands.served import save_served
from holdfast.commands.several.ending import ends_with_its_launcher
from holdfast.commands.several.folders import restarted, running_in
from holdfast.commands.several.partners import take_part
from holdfast.commands.several.ranks import Ranks
from holdfast.commands.tune_folders import TuneFolders
from holdfast.commands.tune_settings import settings_of
from holdfast.commands.tuning.rows import trainers_rows
from holdfast.commands.tuning.trackers import tell_after
from holdfast.commands.tuning.trainer import TuneTrainer
from holdfast.commands.tuning.watching import watch_drift
from holdfast.data.columns import file_of
from holdfast.errors import HoldfastError
from holdfast.evaluation import Measurement
from holdfast.files.outputs.processes import one_run, place
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.guards.network import offline_where_local
from holdfast.inputs.guards.options import refused
from holdfast.inputs.judging import forget_kept
from holdfast.inputs.loading.base_card import base_card
from holdfast.inputs.options.training_options import sft_config
from holdfast.inputs.read import Inputs, read
from holdfast.inputs.values import as_json
from holdfast.progress import Progress
from holdfast.report.model_card import write_card
from holdfast.report.page import write_report
from holdfast.results.diagnose import diagnose
from holdfast.results.provenance import peak_memory_gib
from holdfast.results.records import BEFORE, PLAIN, Arm, SeedRun
from holdfast.results.result import RunResult
from holdfast.training.looks.learnable import refuse_unlearnable
from holdfast.training.looks.rehearsal import rehearse
from holdfast.training.serving.trained import trained_model

__all__ = ["TuneConfig", "tune"]


@offline_where_local
def tune(config: TuneConfig, progress: Progress = lambda *_: None) -> RunResult:
    """Fine-tune ``config.model`` on ``config.data`` and write ``config.output``.

    Returns:
        The result that also lies in ``output/result.json``: the arm ``before`` where questions
        were given, and the arm that was tuned, named like its defenses.

    Raises:
        InputError: Something given cannot be used; nothing was written.
        RunError: The run stopped; says which checkpoint is kept.
        KeyboardInterrupt: The user stopped it; the message says which checkpoint is kept.
    """
    with one_run(), ends_with_its_launcher(place()[1]):
        return _tune(config, progress, Ranks())


def _tune(config: TuneConfig, progress: Progress, ranks: Ranks) -> RunResult:
    start, config = time.perf_counter(), restarted(config, ranks)
    folders = TuneFolders(config)
    with ranks.agreed():
        inputs = read(config, folders if ranks.first else None, folders.log.stages(progress))
    with running_in(folders, settings_of(inputs), ranks) as finished:
        if finished:
            return RunResult.load(folders.output.target / "result.json")
        trainer, notes = _trainer(inputs, folders, ranks), Notes(folders.log.say)
        examine = inputs.examiner.examine  # A judge may cost money or memory.
        before = ranks.of_the_first(lambda: examine("before", inputs.model))
        trainer.tell(notes.say, inputs.examiner.progress)
        trainer.watch(_Bar(progress), folders, before)
        trained = time.perf_counter()
        trainer._holdfast.sets_apart = False  # type: ignore[reportPrivateUsage]
        trainer.train(resume_from_checkpoint=config.resume or None)
        seconds = trainer.trace.spent + time.perf_counter() - trained
        model = trained_model(trainer)
        after = ranks.of_the_first(lambda: examine("after", model))
        untold = tell_after(trainer, after)
        run = _run(trainer, after, seconds, folders)
        arms = _arms(inputs, before, run, file_of(config.data))
        apart = nothing_apart(config, trainer.artifacts)
        said = [*trainer.kept()[1], *_said(run), *apart, *untold]
        result = inputs.result(config.stage, arms, start, said)
        with ranks.agreed():
            if ranks.first:
                save_served(model, inputs, folders.output.partial)
                _write(result, trainer, config, folders)
                forget_kept(inputs.examiner.judges)
        notes.show()
    return result


def _write(
    result: RunResult, trainer: TuneTrainer, config: TuneConfig, folders: TuneFolders
) -> None:
    """Write what lies beside the model, and put both folders in place."""
    partial = folders.output.partial
    for artifact in trainer.artifacts:
        artifact.save(folders.artifacts.partial)
    if trainer.drift is not None:
        trainer.drift.save(partial)
    folders.log.extend(result.warnings)
    result.save(partial / "result.json")
    write_report(result, partial / "report.html", show_harmful=config.show_harmful)
    write_card(result, base_card(config.model), partial)
    folders.finish(trainer.artifacts)


def _trainer(inputs: Inputs, folders: TuneFolders, ranks: Ranks) -> TuneTrainer:
    """Build the trainer; what it refuses in the options becomes a ``ConfigError``."""
    args = sft_config(inputs.options, folders.checkpoints)
    set_seed(args.seed)  # The adapter is drawn while the trainer is built.
    try:
        trainer = TuneTrainer(
            model=inputs.model,
            args=args,
            **trainers_rows(inputs, args),
            processing_class=inputs.examiner.tokenizer,
            peft_config=inputs.adapter,
            defenses=inputs.defenses,
            artifacts_dir=folders.artifacts.partial,
        )
        rehearse(trainer)
    except HoldfastError:
        raise
    except Exception as error:
        raise refused("SFTTrainer", error) from error
    take_part(trainer)
    refuse_unlearnable(trainer, len(inputs.rows))
    trainer.stop_early(inputs.config)  # type: ignore[arg-type]
    watch_drift(trainer, inputs, ranks)
    # It prints each log line to stdout, which belongs to the result.
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Bar(TrainerCallback):
    """Tells the progress of the steps."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._said = ""

    def on_log(self, _args: Any, state: Any, *_: Any, logs: Any = None, **__: Any) -> None:
        """Keep the last loss with its step: it stands beside the next steps in a log."""
        if logs and "loss" in logs:
            self._said = f"loss {float(logs['loss']):.4g} at step {state.global_step}"

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Report the optimizer steps done."""
        self._progress("tune", state.global_step, state.max_steps, self._said)


def _run(
    trainer: TuneTrainer, after: Measurement | None, seconds: float, folders: TuneFolders
) -> SeedRun:
    return SeedRun.of(
        trainer.args.seed,
        after,
        seconds=seconds,
        peak_memory_gib=peak_memory_gib(),
        losses=trainer.curves(),
        step=trainer.kept()[0],
        trace=trainer.trace.rows(),
        artifacts=[str(folders.artifacts.target / a.name) for a in trainer.artifacts],
        diagnostics=diagnose([*trainer.artifacts, *trainer.drifted()]),
    )


def _arms(inputs: Inputs, before: Measurement | None, run: SeedRun, data: str) -> list[Arm]:
    name = "+".join(defense.card.name for defense in inputs.defenses) or PLAIN
    settings = as_json({defense.card.name: defense.config() for defense in inputs.defenses})
    arms = [Arm.of(BEFORE, [SeedRun.of(run.seed, before)])] if before is not None else []
    return [*arms, Arm.of(name, [run], scenario=data, settings=settings)]


def _said(run: SeedRun) -> list[str]:
    """Return what the defenses warn of, with their names."""
    said = {name: found.values.get("warnings") for name, found in run.diagnostics.items()}
    listed = {name: lines for name, lines in said.items() if isinstance(lines, list)}
    return [f"{name}: {line}" for name, lines in listed.items() for line in lines]
