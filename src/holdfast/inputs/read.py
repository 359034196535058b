"""Read and check what a command is given, in one order: cheap things first, the model last.

1. numbers and options, 2. defenses by name, 3. the folders that will be written, 4. rows, and the
defenses with them, 5. questions and their judge, 6. the model, 7. every row against its length.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from peft import LoraConfig

from holdfast.analysis.probing.prompts import Prompts, with_tokenizer
from holdfast.data.columns import file_of
from holdfast.data.kits import is_kit, origin_of
from holdfast.data.sources.files import paths_in
from holdfast.defense import Defense
from holdfast.errors import ConfigError
from holdfast.evaluation import Item
from holdfast.evaluation.judges import Judge
from holdfast.files.base_mark import BaseMark
from holdfast.files.folders import ModelFolders, WholeFolder
from holdfast.files.hashes import sha256_of
from holdfast.files.once import digest_of, files_below
from holdfast.inputs.configs import (
    AnalyzeConfig,
    EvaluateConfig,
    ModelConfig,
    RepairConfig,
    TuneConfig,
)
from holdfast.inputs.fit.adapters import base_notes
from holdfast.inputs.fit.rows import control_notes, length_notes, prompt_notes, question_notes
from holdfast.inputs.fit.turns import turn_notes
from holdfast.inputs.guards.given import check_given
from holdfast.inputs.guards.idle import refuse_idle
from holdfast.inputs.guards.secrets import refuse_secret_values
from holdfast.inputs.judging import Examiner, check_items, judges_for
from holdfast.inputs.models import Loaded, check_against, model_of, tuned_of
from holdfast.inputs.options.training_options import (
    idle_notes,
    overruled_notes,
    training_options,
)
from holdfast.inputs.options.watch_options import check_watch, used_by_watch
from holdfast.inputs.prompts import check_prompt_lengths, prompt_sets
from holdfast.inputs.rows import (
    EVALUATION,
    ORGANISM,
    Source,
    defender_rows,
    question_records,
    questions_with_notes,
    sources_of,
)
from holdfast.inputs.sources.disjoint import kept_apart, shared_prompts, shared_rows
from holdfast.inputs.sources.kits import with_kits
from holdfast.inputs.sources.probed import probed_notes
from holdfast.inputs.specs import Spec, build_defenses, files_in, specs_of, unused_data
from holdfast.inputs.values import as_json
from holdfast.progress import Progress
from holdfast.results.provenance import DataSource, fingerprint
from holdfast.results.records import Arm
from holdfast.results.result import RunResult
from holdfast.training.lora_targets import what_is_trained

__all__ = ["AnalysisInputs", "Inputs", "paths_of", "read", "read_prompts"]

PATHS = (
    "model", "adapter", "against", "config", "chat_template", "data", "eval_data",
    "harmful", "safe", "alignment", "benign", "lookalike", "validation", "task", "useful",
    "harmful_ood", "benign_ood", "test_harmful", "test_safe", "test_task", "test_useful",
    "lm_eval_path", "refusal_phrases", "task_rows", "frozen", "policy", "before", "watch_fit",
    "screen",
)  # fmt: skip
"""Fields that name a file or folder to read, which no output may replace."""


@dataclass(frozen=True)
class Inputs:
    """What a command reads, all of it checked."""

    config: ModelConfig
    model: Any
    defenses: tuple[Defense, ...]
    rows: Any
    """The user's data set, where the command takes one."""
    eval_rows: Any
    """What is measured along the way and never learned, where the user gives it."""
    data: list[DataSource]
    """What the result says of them."""
    examiner: Examiner
    base: BaseMark
    """What tells the model without its adapter from all others."""
    options: dict[str, Any]
    """Those of SFTConfig, for a training run."""
    adapter: LoraConfig | None
    """What a training run trains; all weights without it."""
    defender: Mapping[str, Any]
    """The defender's rows by role, whatever a defense makes of them."""
    hashes: dict[str, str]
    """SHA-256 of all that was read but the model: by role, and by ``defense:key``."""
    warnings: list[str]

    def result(
        self, command: str, arms: Sequence[Arm], start: float, said: Sequence[str] = ()
    ) -> RunResult:
        """Return the result of a command that began at ``start`` and whose runs ``said`` this."""
        training = {"training": self.options} if self.options else {}
        return RunResult.of(
            command,
            arms,
            model=self.config.model,
            real_model=self.config.model != ORGANISM,
            config=as_json({**asdict(self.config), **training}),
            data=self.data,
            seconds=time.perf_counter() - start,
            peak_memory_gib=arms[-1].runs[0].peak_memory_gib,
            warnings=[*self.warnings, *said],
        )


@dataclass(frozen=True)
class AnalysisInputs:
    """What an analysis reads, all of it checked."""

    model: Any
    tuned: Any
    """The fine-tuned model that ``against`` names, if any."""
    prompts: Prompts
    data: list[DataSource]
    digest: str
    """SHA-256 of all prompts and of which set each is in."""
    warnings: list[str]


def read(
    config: TuneConfig | RepairConfig | EvaluateConfig,
    folders: WholeFolder | ModelFolders | None,
    progress: Progress,
    load: Callable[[Any], Loaded] = model_of,
) -> Inputs:
    """Return what ``tune``, ``repair`` or ``evaluate`` reads; ``folders`` is what it will write.

    ``load`` gives the model, or what answers in its place and has no tokenizer here.

    Raises:
        InputError: Something cannot be used; nothing was written.
    """
    check_given(config)
    refuse_secret_values({**asdict(config), "set": ()})  # Told with their names by the options.
    options, adapter = training_options(config) if isinstance(config, TuneConfig) else ({}, None)
    specs = specs_of(config)
    files = files_in(specs)
    given = _seeded(config, options)
    config = with_kits(given, frozenset(k for s in specs for k in s.card.data))
    if folders is not None:
        folders.check([*paths_of(config), *files.values()])
    rows = _rows(config, specs)
    sources, items = rows.sources, rows.items
    check_watch(config, rows.defenses)
    if isinstance(config, EvaluateConfig) and not items and not config.lm_eval:
        raise ConfigError("nothing to ask: give `harmful`, `safe`, `task` or `useful`, a file")
    panel = judges_for(config.model, config.judge, config.refusal_phrases, config.output, progress)
    loaded = load(config)
    asked = isinstance(config, EvaluateConfig)  # Nothing is trained then.
    adapter, trained = (None, []) if asked else what_is_trained(adapter, loaded.model)
    told = [*_told(config, sources, items, loaded, options), *trained]
    examiner = _examiner(config, items, loaded, panel.judges, progress)
    options = {"max_length": loaded.limit, **options} if options else {}
    data = [each.record() for each in sources.values()]
    return Inputs(
        config=given,
        model=loaded.model,
        defenses=rows.defenses,
        rows=sources["data"].rows if "data" in sources else None,
        eval_rows=sources[EVALUATION].rows if EVALUATION in sources else None,
        data=[*data, *question_records(config, items)],
        examiner=examiner,
        base=loaded.base,
        options=options,
        adapter=adapter,
        defender=defender_rows(sources),
        hashes={each.name: each.sha256 for each in data} | _hashes({**files, **_phrases(config)}),
        warnings=[*_of_rows(config, rows), *panel.notes, *told],
    )


def _seeded(config: Any, options: Mapping[str, Any]) -> Any:
    """Return a training run's config with its seed, which the file or ``set`` may have given."""
    return replace(config, seed=options["seed"]) if isinstance(config, TuneConfig) else config


def _examiner(
    config: TuneConfig | RepairConfig | EvaluateConfig,
    items: list[Item],
    loaded: Loaded,
    judges: Sequence[Judge],
    progress: Progress,
) -> Examiner:
    """Return who asks the questions, each of which leaves room for its answer."""
    tokenizer, new = loaded.tokenizer, config.max_new_tokens
    check_items(items, tokenizer, loaded.limit, new)
    size = config.batch_size if isinstance(config, EvaluateConfig) else Examiner.batch_size
    return Examiner(items, tokenizer, judges, progress, new, size)


class _Rows(NamedTuple):
    """What teaches, what asks, and the defenses that hold their share of it."""

    sources: dict[str, Source]
    items: list[Item]
    unread: list[str]
    defenses: tuple[Defense, ...]


def _rows(config: TuneConfig | RepairConfig | EvaluateConfig, specs: Sequence[Spec]) -> _Rows:
    """Read the rows, the defenses with them, and then the questions.

    Defenses are built before any question is read, so that what they miss is told first; once more
    only where a kit's rows are asked as questions too and are left out.
    """
    refuse_idle(config)
    sources = sources_of(config)
    defenses = build_defenses(specs, defender_rows(sources))
    items, unread = questions_with_notes(config)
    apart = kept_apart(sources, items)
    if any(apart[role] is not each for role, each in sources.items()):
        defenses = build_defenses(specs, defender_rows(apart))
    return _Rows(apart, items, unread, defenses)


def _unused(config: Any, defenses: Sequence[Defense], sources: Mapping[str, Source]) -> list[str]:
    """Return the roles whose rows nobody uses."""
    found = unused_data(defenses, defender_rows(sources))
    return [role for role in found if role not in used_by_watch(config)]


def _of_rows(config: Any, rows: _Rows) -> Iterator[str]:
    """Yield what is told of the rows themselves, of the questions, and of what both hold."""
    for role in _unused(config, rows.defenses, rows.sources):
        yield f"`{role}` was given and no defense of the list uses it"
    for each in rows.sources.values():
        yield from each.warnings()
    yield from rows.unread
    yield from shared_prompts(rows.sources, rows.items)
    yield from shared_rows(rows.sources)
    yield from probed_notes(config, rows.items)


def _told(
    config: TuneConfig | RepairConfig | EvaluateConfig,
    sources: Mapping[str, Source],
    items: Sequence[Item],
    loaded: Loaded,
    options: Mapping[str, Any],
) -> list[str]:
    """Return what a reader must know of how model, rows and questions fit; refuse what does not."""
    tokenizer, allowed = loaded.tokenizer, config.control_tokens
    if tokenizer is None:  # What answers has its own, somewhere else.
        return loaded.notes
    return [
        *base_notes(config),
        *idle_notes(options),
        *overruled_notes(config),
        *loaded.notes,
        *turn_notes(sources.values(), tokenizer),
        *length_notes(sources.values(), tokenizer, loaded.limit, options),
        *control_notes(sources.values(), tokenizer, options, allowed=allowed),
        *question_notes(items, tokenizer, allowed=allowed),
    ]


def read_prompts(config: AnalyzeConfig, folder: WholeFolder) -> AnalysisInputs:
    """Return what ``analyze`` reads; ``folder`` is what it will write.

    Raises:
        InputError: Something cannot be used; nothing was written.
    """
    check_given(config)
    refuse_secret_values(asdict(config))
    config.validate()
    if config.method == "delta" and config.against is None:
        raise ConfigError(
            "`method=delta` puts in the changes of a fine-tuning run and needs that run's model: "
            "add `against=DIR`, or use `method=gradient` or noise"
        )
    config = with_kits(config)
    folder.check(paths_of(config))
    sets = prompt_sets(config)
    check_against(config)
    loaded = model_of(config)
    model, tokenizer, limit = loaded.model, loaded.tokenizer, loaded.limit
    paths = {name: file_of(getattr(config, name) or ORGANISM) for name in sets}
    notes = [*base_notes(config), *loaded.notes]
    for name, rows in sets.items():
        check_prompt_lengths(paths[name], rows, tokenizer, limit)
        notes += prompt_notes(paths[name], rows, tokenizer, allowed=config.control_tokens)
    prompts = Prompts.checked(with_tokenizer(tokenizer), *sets.values())
    data = [fingerprint(name, rows, paths[name]) for name, rows in sets.items() if rows]
    digest = sha256_of(
        {"prompt": row["prompt"], "completion": name} for name, rows in sets.items() for row in rows
    )
    return AnalysisInputs(model, tuned_of(config, model), prompts, data, digest, notes)


def paths_of(config: ModelConfig) -> list[Path | None]:
    """Return the files and folders that a command reads, which no output may replace."""
    given = [getattr(config, name, None) for name in PATHS]
    names = [file_of(path) if isinstance(path, str) else path for path in given]
    return [path for name in names for path in _places(name)]


def _places(name: Path | str | None) -> list[Path | None]:
    """Return the files that a name means: those of a pattern, or several with commas."""
    if not isinstance(name, str):
        return [name]
    return [origin_of(name).file] if is_kit(name) else [*paths_in(name)]


def _phrases(config: Any) -> dict[str, Path]:
    """Return files that decide a run and are no rows: phrases, what leads predict, a screening."""
    names = ("refusal_phrases", "watch_fit", "screen")
    named = {name: getattr(config, name, None) for name in names}
    return {name: path for name, path in named.items() if path}


def _hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of each file, and of all files of what names a folder."""
    return {name: digest_of(files_below(path), path) for name, path in files.items()}
