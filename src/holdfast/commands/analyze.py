"""Find which modules carry safety, and how far a fine-tuned model moved; write the report."""

import json
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from holdfast.analysis.analyze import Analysis, AnalysisSettings, analyze
from holdfast.analysis.changes import projection_changes
from holdfast.analysis.comparison import Comparison, compare
from holdfast.analysis.modules.perturbation import delta, noise
from holdfast.analysis.modules.robustness import ModuleScore
from holdfast.analysis.patterns import Pattern, depth, joint, queries_and_keys
from holdfast.analysis.probing.probe import ProbeSettings
from holdfast.analysis.probing.prompts import Prompts, with_tokenizer
from holdfast.analysis.settings import AnalysisOptions
from holdfast.defense import Row
from holdfast.errors import ConfigError, ModelError
from holdfast.files.folders import WholeFolder
from holdfast.files.hashes import sha256_of
from holdfast.inputs.configs import AnalyzeConfig
from holdfast.inputs.models import check_folder, load_adapter, load_model, positions
from holdfast.inputs.prompts import check_prompt_lengths, load_prompts, organism_ood
from holdfast.inputs.rows import ORGANISM
from holdfast.inputs.values import as_json
from holdfast.progress import Progress
from holdfast.report.analysis_page import AnalysisPage, write_analysis
from holdfast.results.provenance import DataSource, fingerprint
from holdfast.training.failures import as_run_error

__all__ = ["AnalyzeConfig", "Found", "analyze_model"]


@dataclass(frozen=True)
class Found:
    """What one ``holdfast analyze`` found."""

    analysis: Analysis
    patterns: list[Pattern]
    comparison: Comparison | None
    warnings: list[str]
    data: list[DataSource]

    def summary(self) -> dict[str, Any]:
        """Return ``analysis.json``: what a program wants to know of it."""
        robust = self.analysis.robust
        compared = self.comparison
        return {
            "modules": [str(m) for m in robust.modules],
            "of": robust.layers * len(robust.roles),
            "method": robust.method,
            "score": robust.score,
            "rho": robust.rho,
            "tau": robust.tau,
            "probe": {k: q.model_dump() for k, q in self.analysis.probe.quality.items()},
            "warnings": self.warnings,
            "patterns": {p.name: {"verdict": p.verdict, "figure": p.figure} for p in self.patterns},
            "drift": None
            if compared is None
            else {**compared.model_dump(exclude={"modules"}), "fate": compared.fate},
            "data": [source.model_dump() for source in self.data],
        }


def analyze_model(config: AnalyzeConfig, progress: Progress = lambda *_: None) -> Found:
    """Analyze ``config.model`` in memory and write ``config.output``; the model stays as it is.

    An exact analysis that is stopped keeps what it has measured in ``.NAME.analysis.jsonl`` beside
    the output; the same command goes on from there.

    Raises:
        InputError: Something given cannot be used; no output was written.
        RunError: The analysis failed.
        KeyboardInterrupt: The user stopped it; the message says what is kept.
    """
    settings = _settings(config)
    folder = WholeFolder(config.output, overwrite=config.overwrite)
    folder.check((config.model, config.adapter, config.against, *_files(config).values()))
    rows = _rows(config)
    if config.against is not None:
        _check_against(config.against, config.trust_remote_code)
    model, tokenizer = _model(config)
    limit = positions(model, tokenizer)
    for name, found in rows.items():
        check_prompt_lengths(_files(config)[name] or name, found, tokenizer, limit)
    prompts = Prompts.checked(with_tokenizer(tokenizer), *rows.values())
    partial = folder.target.with_name(f".{folder.target.name}.analysis.jsonl")
    with _stopping(partial):
        tuned = _tuned(config, model)
        changes = None
        if tuned is not None and settings.method == "delta":
            changes = projection_changes(model, tuned)
        analysis = analyze(
            model,
            prompts,
            settings,
            changes=changes,
            identity={"model": config.model, "probe_sha256": _digest(rows)},
            partial=None if settings.method == "gradient" else partial,
            progress=progress,
        )
        compared = _compared(config, analysis, tuned, settings)
        found = _found(config, analysis, compared, settings, rows, changes)
        _save(config, found, folder)
    partial.unlink(missing_ok=True)
    return found


def _settings(config: AnalyzeConfig) -> AnalysisSettings:
    chosen = {f.name: getattr(config, f.name) for f in fields(AnalysisOptions)}
    settings = AnalysisSettings(**chosen)
    settings.validate()
    if config.method == "delta" and config.against is None:
        raise ConfigError(
            "`method=delta` puts in the changes of a fine-tuning run and needs that run's model: "
            "add `against=DIR`, or use `method=gradient` or noise"
        )
    return settings


def _files(config: AnalyzeConfig) -> dict[str, str | None]:
    return {
        "harmful": config.harmful,
        "benign": config.benign,
        "harmful_ood": config.harmful_ood,
        "benign_ood": config.benign_ood,
    }


def _rows(config: AnalyzeConfig) -> dict[str, list[Row]]:
    """Load the prompts of each set; out of domain the organism has its own."""
    given = _files(config)
    missing = [name for name in ("harmful_ood", "benign_ood") if given[name] is None]
    if len(missing) == 1:
        raise ConfigError(f"an out-of-domain test needs both classes: add `{missing[0]}=FILE`")
    column = _column(config.columns)
    rows = {
        name: [] if path is None else load_prompts(path, name.split("_")[0], column, config.limit)
        for name, path in given.items()
    }
    if missing and config.model == ORGANISM:
        rows["harmful_ood"], rows["benign_ood"] = organism_ood()
    return rows


def _column(text: str | None) -> str | None:
    """Read ``prompt=NAME``; a completion's column may stand beside it and is ignored."""
    if text is None:
        return None
    pairs = [part.strip().partition("=") for part in text.split(",")]
    found = {name: column for name, _, column in pairs}
    name = found.pop("prompt", "").strip()
    if not name or set(found) - {"completion"}:
        raise ConfigError(f"`columns={text}`: expected prompt=NAME, such as prompt=question")
    return name


def _digest(rows: Mapping[str, list[Row]]) -> str:
    """Return one hash of all prompts and of which set each is in."""
    return sha256_of(
        {"prompt": row["prompt"], "completion": name}
        for name, found in rows.items()
        for row in found
    )


def _model(config: AnalyzeConfig, name: str | None = None) -> tuple[Any, Any]:
    model, tokenizer = load_model(
        name or config.model,
        dtype=config.dtype,
        trust_remote_code=config.trust_remote_code,
        chat_template=config.chat_template,
    )
    return (
        load_adapter(model, config.adapter) if config.adapter and not name else model
    ), tokenizer


def _check_against(folder: Path, trusted: bool) -> None:
    if not folder.is_dir():
        raise ModelError(
            f"`against={folder}`: folder not found: give the folder of the fine-tuned model or "
            "adapter"
        )
    if not (folder / "adapter_config.json").is_file():
        with _about_against():
            check_folder(folder, trust_remote_code=trusted)


def _tuned(config: AnalyzeConfig, base: Any) -> nn.Module | None:
    """Load the fine-tuned model beside its base, where there is one."""
    folder = config.against
    if folder is None:
        return None
    with _about_against():
        if (folder / "adapter_config.json").is_file():
            bare, _ = _model(config, config.model)
            return load_adapter(bare, folder)
        tuned, _ = _model(config, str(folder))
    kind, wanted = tuned.config.model_type, base.config.model_type
    if kind != wanted:
        raise ModelError(
            f"`against={folder}`: is a {kind} model and `model` is {wanted}: give a model that was "
            "fine-tuned from `model`"
        )
    return tuned


@contextmanager
def _about_against() -> Generator[None]:
    """Let errors of loading name the field that the folder was given by."""
    try:
        yield
    except ModelError as error:
        told = re.sub("`(model|adapter)=", "`against=", str(error), count=1)
        raise ModelError(told) from error


def _compared(
    config: AnalyzeConfig, analysis: Analysis, tuned: nn.Module | None, settings: AnalysisSettings
) -> Comparison | None:
    if tuned is None:
        return None
    how = ProbeSettings(held_out=settings.held_out, seed=settings.seed)
    return compare(analysis.probed, analysis.robust, tuned, how, str(config.against))


def _found(
    config: AnalyzeConfig,
    analysis: Analysis,
    compared: Comparison | None,
    settings: AnalysisSettings,
    rows: Mapping[str, list[Row]],
    changes: Mapping[str, Tensor] | None,
) -> Found:
    found, robust = analysis.robustness, analysis.robust
    alone = _alone(analysis, settings, changes)
    warnings = list(robust.warnings)
    if compared is not None and compared.unchanged:
        warnings.append(
            f"`against={compared.tuned}` has the very weights of `model`: nothing was fine-tuned"
        )
    sets = [(name, found) for name, found in rows.items() if found]
    paths = _files(config)
    return Found(
        analysis,
        [depth(found), queries_and_keys(found), joint(robust, alone)],
        compared,
        warnings,
        [fingerprint(name, each, paths[name] or ORGANISM) for name, each in sets],
    )


def _alone(
    analysis: Analysis, settings: AnalysisSettings, changes: Mapping[str, Tensor] | None
) -> dict[tuple[int, str], float]:
    """Return the exact damage of each rolled-back module by itself, for pattern C."""
    refused = [t.module for t in analysis.robust.trace if not t.kept]
    known = {(m.module.layer, m.module.role): m for m in analysis.robustness.modules}
    probed = analysis.probed
    out: dict[tuple[int, str], float] = {}
    change = delta(changes) if changes else noise(probed.modules, analysis.robust.rho)
    refs = {(r.layer, r.role): r for r in probed.modules}
    for module in refused:
        key = module.layer, module.role
        score = known[key]
        if not score.damage:
            ref = refs[key]
            damage = [probed.damage(change, [ref], seed) for seed in settings.draws]
            score = ModuleScore(module=module, name=ref.name, damage=damage)
        out[key] = score.mean(analysis.robust.score)
    return out


def _save(config: AnalyzeConfig, found: Found, folder: WholeFolder) -> None:
    """Write all files, whole or not at all."""
    analysis = found.analysis
    page = AnalysisPage(
        analysis.robustness,
        analysis.robust,
        found.patterns,
        found.comparison,
        found.warnings,
        found.data,
        as_json(asdict(config)),
    )
    with folder.writing() as place:
        for name, each in (
            ("robustness", analysis.robustness),
            ("robust_modules", analysis.robust),
        ):
            (place / f"{name}.json").write_text(each.model_dump_json(indent=1) + "\n")
        analysis.probe.save(place)
        (place / "analysis.json").write_text(json.dumps(found.summary(), indent=1) + "\n")
        write_analysis(page, place / "report.html")


@contextmanager
def _stopping(partial: Path) -> Generator[None]:
    """Say what an analysis that stops has left."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"stopped by Ctrl-C: {_kept(partial)}") from error
    except Exception as error:
        known = as_run_error(error, _kept(partial))
        if known is None:
            raise
        raise known from error


def _kept(partial: Path) -> str:
    if partial.exists():
        return f"what is measured lies in {partial}; the same command goes on from there"
    return "nothing was written"
