"""``holdfast tune --defense auto``: every defense that the given data allow, under limits.

What ``tune`` was given becomes a recipe of the bench with one run, so that the search, the
certification and their record are those of ``holdfast choose``. The work lies in
``OUTPUT-choice``; the certified model comes to ``OUTPUT``, with ``choose.json`` beside it.
"""

import shutil
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from holdfast.bench.choosing.candidates import Field, field_from
from holdfast.bench.choosing.choose import CHOSEN, REALLY, RESULT, How, choose
from holdfast.bench.choosing.prepared import prepared_choice
from holdfast.bench.choosing.record import ChooseResult
from holdfast.bench.choosing.searching.search import Rules
from holdfast.bench.recipe.files import base_recipe
from holdfast.bench.recipe.grid import expand
from holdfast.bench.subject.files import BENIGN
from holdfast.data.load import load_examples
from holdfast.defense import Stage
from holdfast.defenses import built_in
from holdfast.errors import ConfigError, InputError
from holdfast.evaluation.limits import parse_requirements
from holdfast.files.folders import WholeFolder
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.guards.given import check_given
from holdfast.inputs.options.choice_options import AUTO
from holdfast.inputs.options.training_options import idle_notes, training_options
from holdfast.inputs.read import paths_of
from holdfast.inputs.rows import DEFENDER, ORGANISM
from holdfast.inputs.sources.kits import with_kits
from holdfast.progress import Progress, silent

__all__ = ["handed_out", "recipe_of", "tune_auto"]

_TAKEN = frozenset({
    "model", "dtype", "data", "output", "defense", *DEFENDER, "columns", "harmful_columns",
    "test_harmful", "test_safe", "test_task", "test_useful", "test_limit", "max_new_tokens",
    "learning_rate", "epochs", "max_steps", "batch_size", "accumulation", "limit", "seed", "lora",
    "lora_r", "lora_alpha", "overwrite", "resume", "require", "confidence", "budget",
})  # fmt: skip
"""Options of ``tune`` that a search of many runs can do."""
_OWN_RUN = (
    "the organism is tuned as its bench does it (rank 8, 500 rows, a tenth of them harmful): only "
    "learning_rate, max_steps and seed count"
)
_QUESTIONS = 1200
"""Questions of each kind that are asked of the organism, which makes as many as are wanted."""


def tune_auto(
    config: TuneConfig,
    workers: int = 1,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda _: None,
    how: How = REALLY,
) -> ChooseResult:
    """Choose a defense for a tuning run, and write the certified model.

    Started again, it goes on. Where nothing passes, no model is written.

    Raises:
        ConfigError: An option is given that a search cannot do, another defense beside ``auto``,
            or something that ``prepared_choice`` refuses.
    """
    _refuse(config)
    output = WholeFolder(config.output, overwrite=config.overwrite)
    output.check(paths_of(config))
    rules = Rules(
        parse_requirements(config.require),
        0.95 if config.confidence is None else config.confidence,
        20.0 if config.budget is None else config.budget,
        config.seed or 0,
    )
    given = prepared_choice(_field(config), rules)
    work = _work(config)
    found = choose(given, work, workers, progress, say, how)
    if handed_out(config):
        with output.held(), output.writing() as partial:
            shutil.copytree(work / CHOSEN, partial, dirs_exist_ok=True)
            shutil.copy(work / RESULT, partial / RESULT)
    return found


def handed_out(config: TuneConfig) -> bool:
    """Return whether a choice that came to its end has a tuned model to hand out."""
    return (_work(config) / CHOSEN).is_dir()


def _work(config: TuneConfig) -> Path:
    return config.output.with_name(f"{config.output.name}-choice")


def recipe_of(config: TuneConfig) -> dict[str, Any]:
    """Return the bench's recipe of a tuning run: its data, questions, steps and seed."""
    knobs = {"learning_rate": config.learning_rate, "steps": config.max_steps}
    if config.max_steps is None and config.model != ORGANISM:
        knobs["epochs"] = config.epochs or 3  # As SFTConfig has it.
    given = {name: [value] for name, value in knobs.items() if value is not None}
    own: dict[str, Any] = {**base_recipe(), **given, "seeds": [config.seed or 0]}
    own["items_per_kind"] = config.test_limit or _QUESTIONS
    if config.model == ORGANISM:
        if config.data != ORGANISM:
            raise ConfigError(
                f"`data={config.data}`: the organism has rows of its own; give `data=organism`"
            )
        for name in (*DEFENDER, *_tests(), "columns", "harmful_columns"):
            if (given := getattr(config, name)) not in (None, ORGANISM):
                raise ConfigError(
                    f"`{name}={given}`: the organism has rows of its own: leave it out"
                )
        return own
    config = with_kits(config)
    files = {name: getattr(config, name) for name in (*DEFENDER, *_tests())}
    files |= {"task": _with(config.data, config.columns)}
    files |= {"harmful": _with(config.harmful, config.harmful_columns)}
    rows = len(load_examples(_with(config.data, config.columns) or ""))
    return {
        **own, "model": config.model, "scenarios": [BENIGN],
        "files": {role: path for role, path in files.items() if path is not None},
        "rows": [min(rows, config.limit or rows)], "training": _training(config),
    }  # fmt: skip


def _field(config: TuneConfig) -> Field:
    """Return every defense of ours that the data allow, and why others do not run."""
    recipe, source = recipe_of(config), str(config.output)
    run = {"max_steps": config.max_steps, "num_train_epochs": config.epochs}
    notes = [_OWN_RUN] if config.model == ORGANISM else idle_notes(run)
    names = list[str]()
    for name, kind in built_in().items():
        card = kind.card
        if card.stage is Stage.ALIGN or card.paper.startswith("control"):
            continue
        try:
            expand({**recipe, "defenses": [name]}, "auto")
            names.append(name)
        except InputError as error:
            notes.append(f"{name} is no candidate: {str(error).removeprefix('auto: ')}")
    found = field_from({**recipe, "defenses": names}, source)
    return Field(found.recipe, found.candidates, (*found.notes, *notes), source)


def _training(config: TuneConfig) -> dict[str, Any]:
    return {
        "batch": (config.batch_size or 8) * (config.accumulation or 1),
        "dtype": config.dtype, "max_new_tokens": config.max_new_tokens, "full": not config.lora,
        "lora_rank": config.lora_r, "lora_alpha": round(config.lora_alpha),
        "learning_rate": config.learning_rate or 2e-5,
    }  # fmt: skip


def _tests() -> tuple[str, ...]:
    return ("test_harmful", "test_safe", "test_task", "test_useful")


def _with(path: str | None, columns: str | None) -> str | None:
    return f"{path}::{columns}" if path and columns else path


def _refuse(config: TuneConfig) -> None:
    """Raise ``ConfigError`` for what a search of many runs cannot do."""
    if config.stage != "tune":
        raise ConfigError(
            "`defense=auto` chooses for `holdfast tune`: name the defense to align with"
        )
    if config.defense != [AUTO]:
        raise ConfigError("`defense=auto` chooses by itself: give no other defense beside it")
    if Path(config.output).suffix == ".json":
        raise ConfigError(f"`output={config.output}` must be a folder")
    for item in fields(config):
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        if item.name not in _TAKEN and getattr(config, item.name) != default:
            raise ConfigError(
                f"`{item.name}` cannot be given with `defense=auto`, whose runs are the bench's: "
                "leave it out, or name a defense; a recipe for `holdfast choose` can say more"
            )
    check_given(config)
    _ = training_options(config)  # What a single run refuses is refused of many.
    if not float(config.lora_alpha).is_integer():
        raise ConfigError(
            f"`lora_alpha={config.lora_alpha}`: the runs of `defense=auto` take a whole number"
        )
