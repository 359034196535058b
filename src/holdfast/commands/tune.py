"""One fine-tuning run with defenses, from files to a folder that appears whole or not at all.

Everything that can be refused is refused before anything is written. The run itself lives in
``.OUTPUT.partial``: its checkpoints survive a kill, a full disk and Ctrl-C, and ``resume`` goes on
from them.
"""

import hashlib
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from transformers import PrinterCallback, TrainerCallback, set_seed

from holdfast.commands.training_options import lora_config, sft_config, training_options
from holdfast.commands.tune_folders import TuneFolders
from holdfast.defense import Defense, Stage
from holdfast.errors import ConfigError, HoldfastError
from holdfast.evaluation import Item, Measurement
from holdfast.evaluation.judges import Judge
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.judging import Examiner, check_items, judge_for
from holdfast.inputs.models import load_model, positions
from holdfast.inputs.rows import ORGANISM, Source, columns_of, source, test_items
from holdfast.inputs.specs import Spec, build_defenses, files_in, unused_data
from holdfast.inputs.values import as_json
from holdfast.progress import Progress
from holdfast.report.page import write_report
from holdfast.results.diagnose import diagnose
from holdfast.results.provenance import peak_memory_gib
from holdfast.results.records import BEFORE, PLAIN, Arm, LossCurve, SeedRun
from holdfast.results.result import RunResult
from holdfast.training.failures import as_run_error
from holdfast.training.trainer import SecureSFTTrainer

__all__ = ["TuneConfig", "tune"]


@dataclass
class _Inputs:
    """What a run reads, all of it checked."""

    options: dict[str, Any]
    sources: dict[str, Source]
    specs: list[Spec]
    defenses: tuple[Defense, ...]
    model: Any
    tokenizer: Any
    items: list[Item]
    judge: Judge
    warnings: list[str]


def tune(config: TuneConfig, progress: Progress = lambda *_: None) -> RunResult:
    """Fine-tune ``config.model`` on ``config.data`` and write ``config.output``.

    Args:
        config: What to do.
        progress: Called with (stage, done, in all).

    Returns:
        The result that also lies in ``output/result.json``: the arm ``before`` where questions
        were given, and the arm that was tuned, named like its defenses.

    Raises:
        InputError: Something given cannot be used; nothing was written.
        RunError: The run stopped; says which checkpoint is kept.
        KeyboardInterrupt: The user stopped it; the message says which checkpoint is kept.
    """
    start = time.perf_counter()
    folders = TuneFolders(config)
    folders.check()
    inputs = _read(config)
    hashes = _hashes(config, inputs, folders)
    examiner = Examiner(
        inputs.items, inputs.tokenizer, inputs.judge, progress, config.max_new_tokens
    )
    folders.begin({**asdict(config), "stage": config.stage, "hashes": hashes})
    with _kept(folders):
        before = examiner.examine("before", inputs.model)
        trainer, notes = _trainer(config, inputs, folders), _Notes()
        trainer.say = notes.say
        trainer.add_callback(_Bar(progress))
        trained = time.perf_counter()
        trainer.train(resume_from_checkpoint=config.resume or None)
        seconds = time.perf_counter() - trained
        model = trainer.accelerator.unwrap_model(trainer.model)
        after = examiner.examine("after", model)
        run = _run(trainer, after, seconds, folders)
        result = _result(config, inputs, before, run, time.perf_counter() - start)
        _save(model, inputs.tokenizer, trainer, result, folders, config)
        notes.show()
    return result


def _read(config: TuneConfig) -> _Inputs:
    """Read and check everything, the cheap things first."""
    options = training_options(config)
    lora_config(config)
    specs = [Spec.parse(text) for text in config.defense]
    _check_stage(specs, config.stage)
    sources = _sources(config)
    data = {role: s.rows for role, s in sources.items() if role != "data"}
    defenses = build_defenses(specs, data)
    items, judge = test_items(config, config.model), judge_for(config.model, config.judge)
    model, tokenizer = load_model(
        config.model,
        dtype=config.dtype,
        trust_remote_code=config.trust_remote_code,
        chat_template=config.chat_template,
    )
    limit = positions(model, tokenizer)
    for each in sources.values():
        # A length that the user has set is a wish to truncate, as SFTTrainer does.
        each.check_lengths(tokenizer, None if options.get("max_length") else limit)
    check_items(items, tokenizer, limit, config.max_new_tokens)
    options.setdefault("max_length", limit)
    unused = unused_data(defenses, data)
    warnings = [f"`{name}` was given and no defense of the list uses it" for name in unused]
    warnings += [line for each in sources.values() for line in each.warnings()]
    return _Inputs(options, sources, specs, defenses, model, tokenizer, items, judge, warnings)


def _check_stage(specs: Sequence[Spec], stage: str) -> None:
    """Refuse a defense of another stage: it would run, and not do what its paper says."""
    for card in (spec.card for spec in specs):
        if (card.stage is Stage.ALIGN) == (stage == "align"):
            continue
        then = ", then tune the model that it writes" if card.stage is Stage.ALIGN else ""
        raise ConfigError(
            f"{card.name} acts in the stage {card.stage}, not in {stage}: give it to "
            f"`holdfast {card.stage}`{then}"
        )


def _hashes(config: TuneConfig, inputs: _Inputs, folders: TuneFolders) -> dict[str, str]:
    """Return the hash of everything that the run reads; refuse an output that holds any of it."""
    files = files_in(inputs.specs)
    for folder in (folders.output, folders.artifacts):
        folder.check(files.values())
    data = {role: each.record().sha256 for role, each in inputs.sources.items()}
    read = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
    return data | {name: hashlib.sha256(content).hexdigest() for name, content in read.items()}


def _sources(config: TuneConfig) -> dict[str, Source]:
    """Load the user's rows and those of the defenses, by role."""
    user = source(
        "data",
        config.data,
        columns_of(config.columns),
        split=config.split,
        limit=config.limit,
        of_organism="aligning" if config.stage == "align" else None,
    )
    pairs = columns_of(config.harmful_columns, "harmful_columns")
    found = [
        user,
        source("harmful", config.harmful, pairs),
        source("safe", config.safe),
        source("alignment", config.alignment),
        source("benign", config.benign),
        source("validation", config.validation),
    ]
    return {each.role: each for each in found if each is not None}


def _trainer(config: TuneConfig, inputs: _Inputs, folders: TuneFolders) -> SecureSFTTrainer:
    """Build the trainer; what it refuses in the options becomes a ``ConfigError``."""
    args = sft_config(inputs.options, folders.checkpoints)
    set_seed(args.seed)  # The adapter is drawn while the trainer is built.
    try:
        trainer = SecureSFTTrainer(
            model=inputs.model,
            args=args,
            train_dataset=inputs.sources["data"].rows.select_columns(["prompt", "completion"]),
            processing_class=inputs.tokenizer,
            peft_config=lora_config(config),
            defenses=inputs.defenses,
            artifacts_dir=folders.artifacts.partial,
        )
    except HoldfastError:
        raise
    except (ValueError, TypeError, ImportError, NotImplementedError) as error:
        raise ConfigError(f"SFTTrainer refuses the options: {error}") from error
    # It prints each log line to stdout, which belongs to the result.
    trainer.remove_callback(PrinterCallback)
    return trainer


@contextmanager
def _kept(folders: TuneFolders) -> Generator[None]:
    """Let a run that stops leave its last whole checkpoint, or nothing, and say which."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"stopped by Ctrl-C: {folders.kept()}") from error
    except Exception as error:
        kept = folders.kept()
        known = as_run_error(error, kept)
        if known is None:
            error.add_note(kept)
            raise
        raise known from error


class _Notes:
    """What defenses say, on stderr: at once for who watches, else when the run is done.

    A program that reads stderr finds one line there where a run has failed.
    """

    def __init__(self) -> None:
        self._held: list[str] = []

    def say(self, line: str) -> None:
        """Take one line."""
        self._held.append(line)
        if sys.stderr.isatty():
            self.show()

    def show(self) -> None:
        """Write the lines that were not shown yet."""
        sys.stderr.writelines(f"{line}\n" for line in self._held)
        self._held.clear()


class _Bar(TrainerCallback):
    """Tells the progress of the steps."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Report the optimizer steps done."""
        self._progress("tune", state.global_step, state.max_steps)


def _run(
    trainer: SecureSFTTrainer,
    after: Measurement | None,
    seconds: float,
    folders: TuneFolders,
) -> SeedRun:
    return SeedRun.of(
        trainer.args.seed,
        after,
        seconds=seconds,
        peak_memory_gib=peak_memory_gib(),
        losses=_curves(trainer.state.log_history),
        trace=trainer.trace.rows(),
        artifacts=[str(folders.artifacts.target / a.name) for a in trainer.artifacts],
        diagnostics=diagnose(trainer.artifacts),
    )


def _curves(history: Sequence[dict[str, Any]]) -> list[LossCurve]:
    """Return the user's loss and the losses that defenses log, by step."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for entry in history:
        for key, value in entry.items():
            if key == "loss" or ("/" in key and "loss" in key):
                steps, values = curves.setdefault("user" if key == "loss" else key, ([], []))
                steps.append(int(entry["step"]))
                values.append(float(value))
    return [LossCurve(name=n, steps=s, values=list(v)) for n, (s, v) in curves.items()]


def _result(
    config: TuneConfig, inputs: _Inputs, before: Measurement | None, run: SeedRun, seconds: float
) -> RunResult:
    name = "+".join(defense.card.name for defense in inputs.defenses) or PLAIN
    settings = as_json({defense.card.name: defense.config() for defense in inputs.defenses})
    arms = [Arm.of(BEFORE, [SeedRun.of(run.seed, before)])] if before is not None else []
    return RunResult.of(
        config.stage,
        [*arms, Arm.of(name, [run], scenario=config.data, settings=settings)],
        model=config.model,
        real_model=config.model != ORGANISM,
        config=as_json({**asdict(config), "training": inputs.options}),
        data=[each.record() for each in inputs.sources.values()],
        seconds=seconds,
        peak_memory_gib=run.peak_memory_gib,
        warnings=[*inputs.warnings, *_warned(run)],
    )


def _warned(run: SeedRun) -> list[str]:
    """Return what the defenses warn of, with their names."""
    said = {name: found.values.get("warnings") for name, found in run.diagnostics.items()}
    return [
        f"{name}: {line}"
        for name, lines in said.items()
        if isinstance(lines, list)
        for line in lines
    ]


def _save(
    model: Any,
    tokenizer: Any,
    trainer: SecureSFTTrainer,
    result: RunResult,
    folders: TuneFolders,
    config: TuneConfig,
) -> None:
    """Write everything into the partial folders, then put them in place."""
    partial = folders.output.partial
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    for artifact in trainer.artifacts:
        artifact.save(folders.artifacts.partial)
    result.save(partial / "result.json")
    write_report(result, partial / "report.html", show_harmful=config.show_harmful)
    folders.finish(trainer.artifacts)
