"""One analysis from prompts to Mods_Rob: probe, robustness map, search."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from holdfast.analysis.modules.by_weight import joined_scores, weights_of
from holdfast.analysis.modules.first_order import first_order
from holdfast.analysis.modules.perturbation import Change, Probed, delta, noise, perturbable, pooled
from holdfast.analysis.modules.remembered import Remembered
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.modules.robustness import ModuleScore, Robustness, calibrated_rho, exact
from holdfast.analysis.modules.search import at, search
from holdfast.analysis.probing.probe import Probe, ProbeSettings, fit_probe
from holdfast.analysis.probing.prompts import Prompts, of_run
from holdfast.analysis.probing.suffix import Suffix
from holdfast.analysis.settings import AnalysisOptions, Score
from holdfast.defense import Examples, Run, listed
from holdfast.errors import ConfigError
from holdfast.files.hashes import sha256_of
from holdfast.ops.modules import ModuleRef, parts
from holdfast.ops.randomness import derived_seed
from holdfast.progress import Progress

__all__ = ["Analysis", "AnalysisSettings", "analyze", "find_robust_modules", "probed_model", "told"]


@dataclass(kw_only=True)
class AnalysisSettings(AnalysisOptions):
    """What the analysis does, with what only memory hangs on."""

    cached: bool = True
    """Keep what enters each layer, so that only the layers above a change run again."""

    @property
    def draws(self) -> list[int]:
        """The seeds of the noise; ΔW of a tuning is one draw."""
        count = 1 if self.method == "delta" else self.seeds
        return [derived_seed(self.seed, "draw", n) for n in range(count)]


@dataclass(frozen=True)
class Analysis:
    """What an analysis found."""

    probe: Probe
    robustness: Robustness
    robust: RobustModules
    probed: Probed = field(repr=False)


def analyze(
    model: nn.Module,
    prompts: Prompts,
    settings: AnalysisSettings | None = None,
    *,
    changes: Mapping[str, Tensor] | None = None,
    identity: Mapping[str, str] | None = None,
    partial: Path | None = None,
    progress: Progress = lambda *_: None,
) -> Analysis:
    """Train the probe, score every module and search for Mods_Rob; the model stays bit-identical.

    Args:
        model: A causal LM, bare or with a LoRA adapter.
        prompts: Harmful and benign prompts as token ids.
        settings: How; the defaults where not given.
        changes: For ``method="delta"``: name of each module or part → ΔW as it is stored.
        identity: ``model`` and ``probe_sha256`` of the files that are written.
        partial: File that lets a killed exact analysis go on; see ``robustness.exact``.
        progress: Called with (stage, done, in all): ``"probe"``, ``"modules"``, ``"search"``, each
            from 0 up to all.

    Raises:
        ConfigError: A setting is out of range, or ΔW is missing.
        DataError: The prompts cannot train a probe.
        InputError: ``partial`` is of another analysis.
        ModelError: A projection is unknown or quantized.
        RunError: A changed model's hidden states are not finite, or ``partial`` cannot be written.
    """
    chosen, start = settings or AnalysisSettings(), time.perf_counter()
    chosen.validate()
    progress("probe", 0, 1)
    probed = probed_model(model, prompts, chosen)
    progress("probe", 1, 1)
    rho = 0.0 if chosen.method == "delta" else chosen.rho or calibrated_rho(probed, chosen.draws[0])
    change = _change(probed, chosen, rho, changes)
    key = {"rho": rho, **{k: getattr(chosen, k) for k in ("method", "seed", "held_out")}}
    key["fingerprint"] = _fingerprint(model, prompts, changes) if partial else ""
    scores = _scores(probed, chosen, rho, change, partial, key, progress)
    table = {ref: score.mean(chosen.score) for ref, score in scores.items()}
    common = _common(model, probed, chosen, rho, identity)
    scored: Score = "logit" if chosen.method == "gradient" else chosen.score
    own = {"score": scored, "probe": probed.probe.quality, "modules": list(scores.values())}
    spent = {"seconds": time.perf_counter() - start}
    robustness = Robustness.model_validate({**common, **own, **spent})
    robust = _search(probed, chosen, change, table, common, progress)
    return Analysis(probed.probe, robustness, robust, probed)


def probed_model(model: nn.Module, prompts: Prompts, settings: AnalysisSettings) -> Probed:
    """Return the model with a probe trained on its own hidden states."""
    modules = perturbable(parts(model))
    every = [*prompts.harmful, *prompts.benign]
    suffix = Suffix(model, every, batch_size=settings.batch_size, cached=settings.cached)
    count, ood = len(prompts.harmful), None
    if prompts.harmful_ood:
        others = [*prompts.harmful_ood, *prompts.benign_ood]
        states = Suffix(model, others, batch_size=settings.batch_size, cached=False).clean
        ood = states[: len(prompts.harmful_ood)], states[len(prompts.harmful_ood) :]
    how = ProbeSettings(held_out=settings.held_out, seed=settings.seed)
    probe = fit_probe(suffix.clean[:count], suffix.clean[count:], how, ood)
    return Probed(suffix, probe, count, modules)


def _change(
    probed: Probed, settings: AnalysisSettings, rho: float, changes: Mapping[str, Tensor] | None
) -> Change:
    if settings.method != "delta":
        return Remembered(noise(probed.modules, rho))
    missing = [r.name for r in probed.modules if r.name not in (changes or {})]
    if missing:
        raise ConfigError(
            f"method=delta needs the change of every module by a fine-tuning run, and has none of "
            f"{missing[0]!r}; give the fine-tuned model (`against=DIR`)"
        )
    return delta(changes or {})


def _scores(
    probed: Probed,
    settings: AnalysisSettings,
    rho: float,
    change: Change,
    partial: Path | None,
    key: Mapping[str, Any],
    progress: Progress,
) -> dict[ModuleRef, ModuleScore]:
    if settings.method == "gradient":
        progress("modules", 0, 1)
        found = first_order(probed, rho)
        progress("modules", 1, 1)
        return {r: ModuleScore(module=at(r), name=r.name, estimate=v) for r, v in found.items()}
    done = exact(probed, change, settings.draws, partial=partial, key=dict(key), progress=progress)
    return {r: ModuleScore(module=at(r), name=r.name, damage=d) for r, d in done.items()}


def _fingerprint(model: nn.Module, prompts: Prompts, changes: Mapping[str, Tensor] | None) -> str:
    """Return a hash of the prompts and of up to 1024 numbers of each weight and ΔW.

    Training moves every number of a weight that it trains, so a sample tells two models apart.
    """
    digest = sha256(repr(prompts).encode())
    for name, tensor in [*model.named_parameters(), *sorted((changes or {}).items())]:
        flat = tensor.detach().flatten()
        sample = flat[:: max(1, flat.numel() // 1024)].to("cpu", torch.float32)
        digest.update(name.encode() + str(tuple(tensor.shape)).encode() + sample.numpy().tobytes())
    return digest.hexdigest()


def _common(
    model: nn.Module,
    probed: Probed,
    settings: AnalysisSettings,
    rho: float,
    identity: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return what both files say of the analysis."""
    refs = sorted(probed.modules)
    return {
        "architecture": str(cast("Any", model).config.model_type),
        "layers": 1 + refs[-1].layer, "roles": list(dict.fromkeys(r.role for r in refs)),
        "method": settings.method, "score": settings.score, "rho": rho, "seeds": settings.draws,
        "warnings": probed.probe.warnings, "holdfast": version("holdfast"), **(identity or {}),
    }  # fmt: skip


def _search(
    probed: Probed,
    settings: AnalysisSettings,
    change: Change,
    table: Mapping[ModuleRef, float],
    common: Mapping[str, Any],
    progress: Progress,
) -> RobustModules:
    """Search with exact joint perturbations, whichever method scored the modules."""
    weights = weights_of(probed.modules)
    trials, most = 0, len(weights) + 1  # All together, then each at most once.

    def joint(refs: Collection[ModuleRef]) -> float:
        nonlocal trials
        progress("search", trials, most)
        trials += 1
        parts = [part for ref in refs for part in weights[ref]]
        found = [probed.damage(change, parts, seed) for seed in settings.draws]
        return pooled(found, settings.score)

    whole = joint(list(weights))
    squares = settings.method == "gradient" or settings.score == "logit"
    scores = joined_scores(weights, table, squares=squares)
    chosen, trace = search(scores, joint, settings.tau * whole)
    robust = sorted(part for ref in chosen for part in weights[ref])
    progress("search", most, most)
    warnings = [*common["warnings"], *_harmless(whole, settings.score)]
    shared: dict[str, Any] = {**common, "warnings": warnings, "modules": [at(r) for r in robust]}
    uneven = len(table) != common["layers"] * len(common["roles"])
    shared |= {"of": len(table)} if uneven else {}
    return RobustModules(**shared, tau=settings.tau, whole=whole, trace=trace)


def _harmless(whole: float, score: Score) -> list[str]:
    """Warn where even all modules together do no damage: τ times nothing sorts no module out."""
    if whole > 0:
        return []
    return [
        f"changing all modules together does no damage by score={score} ({whole:.3g}), so the "
        "search had nothing to go by; use score=logit or drift, or a larger rho"
    ]


def find_robust_modules(
    run: Run, harmful: Examples, benign: Examples, settings: AnalysisSettings | None = None
) -> RobustModules:
    """Return Mods_Rob of the run's model before it is tuned, and say what was found.

    Raises:
        DataError: The prompts cannot train a probe, or the run's rows do not show where they end.
        ModelError: A projection is unknown or quantized.
    """
    prompts = Prompts.checked(of_run(run), harmful, benign)
    rows = [*listed(harmful), *listed(benign)]
    config: Any = getattr(run.model, "config", None)
    identity = {"model": str(getattr(config, "_name_or_path", "")), "probe_sha256": sha256_of(rows)}

    def progress(stage: str, done: int, total: int, said: str = "", /) -> None:
        run.progress(f"robust modules: {stage}", done, total, said)

    found = analyze(run.model, prompts, settings, identity=identity, progress=progress).robust
    for line in told(found):
        run.say(line)
    return found


def told(found: RobustModules) -> Sequence[str]:
    """Return what the analysis found, one line each."""
    total = found.total
    names = ", ".join(map(str, found.modules)) or "none"
    return [
        f"robust modules: {len(found.modules)} of {total} ({names}); method {found.method}, "
        f"rho {found.rho:g}, tau {found.tau:g}",
        *(f"warning: {warning}" for warning in found.warnings),
    ]
