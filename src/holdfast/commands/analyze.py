"""Find which modules carry safety, and how far a fine-tuned model moved; write the report."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from holdfast.analysis.against_base import Comparison, compare
from holdfast.analysis.changes import projection_changes
from holdfast.analysis.modules.by_weight import weights_of
from holdfast.analysis.modules.perturbation import delta, noise
from holdfast.analysis.modules.robustness import ModuleScore
from holdfast.analysis.patterns import depth, joint, queries_and_keys
from holdfast.analysis.pipeline import Analysis, AnalysisSettings, analyze
from holdfast.analysis.probing.probe import Probe, ProbeSettings
from holdfast.analysis.settings import AnalysisOptions
from holdfast.files.folders import WholeFolder
from holdfast.inputs.configs import AnalyzeConfig
from holdfast.inputs.guards.network import offline_where_local
from holdfast.inputs.read import read_prompts
from holdfast.inputs.values import as_json
from holdfast.progress import Progress
from holdfast.report.analysis_page import AnalysisPage, write_analysis
from holdfast.training.failures import leaving

__all__ = ["AnalyzeConfig", "Found", "analyze_model"]


@dataclass(frozen=True, kw_only=True)
class Found(AnalysisPage):
    """What one ``holdfast analyze`` found: what its page shows, and the probe."""

    probe: Probe

    def summary(self) -> dict[str, Any]:
        """Return ``analysis.json``: what a program wants to know of it."""
        robust = self.robust
        compared = self.comparison
        return {
            "modules": [str(m) for m in robust.modules],
            "of": robust.total,
            "method": robust.method,
            "score": robust.score,
            "rho": robust.rho,
            "tau": robust.tau,
            "probe": {k: q.model_dump() for k, q in self.probe.quality.items()},
            "warnings": self.warnings,
            "patterns": {p.name: {"verdict": p.verdict, "figure": p.figure} for p in self.patterns},
            "drift": None
            if compared is None
            else {**compared.model_dump(exclude={"modules"}), "fate": compared.fate},
            "data": [source.model_dump() for source in self.data],
        }


@offline_where_local
def analyze_model(config: AnalyzeConfig, progress: Progress = lambda *_: None) -> Found:
    """Analyze ``config.model`` in memory and write ``config.output``; the model stays as it is.

    An exact analysis that is stopped keeps what it has measured in ``.NAME.analysis.jsonl`` beside
    the output; the same command goes on from there.

    Raises:
        InputError: Something given cannot be used; no output was written.
        RunError: The analysis failed.
        KeyboardInterrupt: The user stopped it; the message says what is kept.
    """
    folder = WholeFolder(config.output, overwrite=config.overwrite)
    inputs = read_prompts(config, folder)
    settings = AnalysisSettings(
        **{each.name: getattr(config, each.name) for each in fields(AnalysisOptions)}
    )
    partial = folder.target.with_name(f".{folder.target.name}.analysis.jsonl")
    with folder.held(), leaving(lambda: _kept(partial)):
        changes = None
        if inputs.tuned is not None and settings.method == "delta":
            changes = projection_changes(inputs.model, inputs.tuned)
        analysis = analyze(
            inputs.model,
            inputs.prompts,
            settings,
            changes=changes,
            identity={"model": config.model, "probe_sha256": inputs.digest},
            partial=None if settings.method == "gradient" else partial,
            progress=progress,
        )
        compared = _compared(analysis, inputs.tuned, settings, str(config.against))
        found = Found(
            probe=analysis.probe,
            robustness=analysis.robustness,
            robust=analysis.robust,
            patterns=[
                depth(analysis.robustness),
                queries_and_keys(analysis.robustness),
                joint(analysis.robust, _alone(analysis, settings, changes)),
            ],
            comparison=compared,
            warnings=[*inputs.warnings, *analysis.robust.warnings, *_unchanged(compared)],
            data=inputs.data,
            config=as_json(asdict(config)),
        )
        with folder.writing() as place:
            _save(found, place)
    partial.unlink(missing_ok=True)
    return found


def _compared(
    analysis: Analysis, tuned: nn.Module | None, settings: AnalysisSettings, name: str
) -> Comparison | None:
    if tuned is None:
        return None
    how = ProbeSettings(held_out=settings.held_out, seed=settings.seed)
    return compare(analysis.probed, analysis.robust, tuned, how, name)


def _unchanged(compared: Comparison | None) -> list[str]:
    """Warn where the tuned model is its base."""
    if compared is None or not compared.unchanged:
        return []
    return [f"`against={compared.tuned}` has the very weights of `model`: nothing was fine-tuned"]


def _alone(
    analysis: Analysis, settings: AnalysisSettings, changes: Mapping[str, Tensor] | None
) -> dict[tuple[int, str], float]:
    """Return the exact damage of each rolled-back module by itself, for pattern C."""
    refused = [t.module for t in analysis.robust.trace if not t.kept]
    known = {(m.module.layer, m.module.role): m for m in analysis.robustness.modules if m.damage}
    probed = analysis.probed
    out: dict[tuple[int, str], float] = {}
    change = delta(changes) if changes else noise(probed.modules, analysis.robust.rho)
    weights = {(r.layer, r.role): (r.name, own) for r, own in weights_of(probed.modules).items()}
    for module in refused:
        key = module.layer, module.role
        if (score := known.get(key)) is None:
            name, own = weights[key]
            damage = [probed.damage(change, own, seed) for seed in settings.draws]
            score = ModuleScore(module=module, name=name, damage=damage)
        out[key] = score.mean(analysis.robust.score)
    return out


def _save(found: Found, place: Path) -> None:
    """Write all files into the folder."""
    for name, each in (("robustness", found.robustness), ("robust_modules", found.robust)):
        (place / f"{name}.json").write_text(each.model_dump_json(indent=1) + "\n")
    found.probe.save(place)
    (place / "analysis.json").write_text(json.dumps(found.summary(), indent=1) + "\n")
    write_analysis(found, place / "report.html")


def _kept(partial: Path) -> str:
    if partial.exists():
        return f"what is measured lies in {partial}; the same command goes on from there"
    return "nothing was written"
