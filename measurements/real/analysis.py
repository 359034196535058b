"""Where safety sits in a real chat model, by holdfast's own analysis, as one small JSON file.

On an aligned model and the defender's prompts: patterns A to C (arXiv 2410.04524) by exact noise
and by one backward pass, how alike the two rank modules and which Mods_Rob each finds, the seconds
of each, and the layer safety coefficients (arXiv 2501.18100) of the whole weights.

``python -m measurements.real.analysis --model DIR --harmful FILE --benign FILE --out FILE``, on a
GPU with ``--device cuda``. ``--limit 24 --seeds 1`` is a rehearsal; ``analysis_figure`` draws it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr

from holdfast.analysis.layer_trend import layer_trend
from holdfast.analysis.modules.perturbation import pooled
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.patterns import depth, joint, queries_and_keys
from holdfast.analysis.pipeline import Analysis, AnalysisSettings, analyze
from holdfast.analysis.probing.prompts import Prompts, with_tokenizer
from holdfast.analysis.safety_coefficient import layer_coefficients, profile
from holdfast.data.load import load_examples
from holdfast.inputs.models import load_model
from holdfast.ops.gradients import ascent_step
from holdfast.results.provenance import fingerprint, this_machine, versions
from holdfast.training.standalone import standalone_run

SCORES = ("logit", "drift", "mean_logit")
At = tuple[int, str]


def main() -> None:
    """Measure, print the figures that matter and write all of them."""
    given = _given()
    torch.set_num_threads(given.threads)
    rows: dict[str, Any] = {n: load_examples(getattr(given, n)) for n in ("harmful", "benign")}
    rows = {n: r.select(range(min(given.limit, len(r)))) for n, r in rows.items()}
    model, tokenizer = load_model(given.model, dtype=given.dtype)
    model.to(given.device).eval()
    prompts = Prompts.checked(with_tokenizer(tokenizer), rows["harmful"], rows["benign"])
    settings = AnalysisSettings(
        seeds=given.seeds, tau=given.tau, rho=given.rho, batch_size=given.batch_size
    )
    found = by_both_methods(model, prompts, settings)
    del model
    result = {
        "benchmark": "real_analysis",
        "model": given.name or given.model,
        "setting": {
            "dtype": given.dtype, "device": given.device, "seeds": given.seeds, "tau": given.tau,
            "prompts": {n: len(getattr(prompts, n)) for n in rows},
        },
        **found,
        "safety_coefficient": coefficients(given, rows["harmful"]),
        "data": [fingerprint(n, r, getattr(given, n)).model_dump() for n, r in rows.items()],
        "machine": this_machine().model_dump(), "versions": versions(),
    }  # fmt: skip
    shown = {k: v for k, v in result.items() if k not in ("modules", "machine", "versions")}
    print(json.dumps(shown, indent=1))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of the aligned model")
    parser.add_argument("--name", default="", help="what the result calls the model")
    parser.add_argument("--harmful", required=True, help="the defender's harmful pairs")
    parser.add_argument("--benign", required=True, help="the defender's harmless rows")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--limit", type=int, default=125, help="rows of each class")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the noise")
    parser.add_argument("--tau", type=float, default=0.1)
    parser.add_argument("--rho", type=float, help="norm of the noise; calibrated if not given")
    parser.add_argument("--batch-size", type=int, default=256, help="prompts at a time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    return parser.parse_args()


def by_both_methods(model: Any, prompts: Prompts, settings: AnalysisSettings) -> dict[str, Any]:
    """Return what one backward pass finds, what exact noise of the same ρ does, and how alike."""
    seconds: dict[str, dict[str, float]] = {}
    quick = _timed(model, prompts, replace(settings, method="gradient"), seconds)
    rho = quick.robust.rho  # Calibrated by one of them, so that both speak of the same noise.
    slow = _timed(model, prompts, replace(settings, method="noise", rho=rho), seconds)
    alone = slow.robustness.table()
    both = {"gradient": quick, "noise": slow}
    return {
        "architecture": quick.robust.architecture,
        "layers": quick.robust.layers,
        "rho": rho,
        "probe": {k: q.model_dump() for k, q in quick.probe.quality.items()},
        "warnings": quick.robust.warnings,
        "patterns": {name: _patterns(a, alone) for name, a in both.items()},
        "spearman": agreement(quick, slow),
        "mods_rob": {name: _told(a.robust) for name, a in both.items()},
        "overlap": overlap(quick.robust, slow.robust),
        "seconds": seconds,
        "modules": _table(quick, slow),
    }


def _timed(
    model: Any, prompts: Prompts, settings: AnalysisSettings, seconds: dict[str, dict[str, float]]
) -> Analysis:
    """Analyze, and note the seconds of each stage as its progress tells them."""
    marks: dict[str, tuple[float, float]] = {}
    start = time.perf_counter()

    def progress(stage: str, done: int, total: int, _said: str = "") -> None:
        now = time.perf_counter()
        marks[stage] = marks.get(stage, (now, now))[0], now
        sys.stderr.write(f"\r{settings.method} {stage} {done} of {total} {now - start:.0f} s")

    found = analyze(model, prompts, settings, progress=progress)
    spent = {stage: round(end - begin, 2) for stage, (begin, end) in marks.items()}
    seconds[settings.method] = {**spent, "all": round(time.perf_counter() - start, 2)}
    sys.stderr.write("\n")
    return found


def _patterns(found: Analysis, alone: Mapping[At, float]) -> dict[str, dict[str, str]]:
    three = (
        depth(found.robustness),
        queries_and_keys(found.robustness),
        joint(found.robust, alone),
    )
    return {p.name: {k: v for k, v in asdict(p).items() if k != "name"} for p in three}


def agreement(quick: Analysis, slow: Analysis) -> dict[str, float]:
    """Return Spearman's correlation of the estimate with each score of exact noise.

    ``between_halves_of_the_seeds`` is how well exact noise agrees with itself: what can be hoped.
    """
    estimate = quick.robustness.table()
    rows = [((m.module.layer, m.module.role), m.damage) for m in slow.robustness.modules]
    found = {
        score: _spearman([(estimate[at], abs(pooled(draws, score))) for at, draws in rows])
        for score in SCORES
    }
    half = len(rows[0][1]) // 2
    if half:
        pairs = [(pooled(d[:half], "logit"), pooled(d[half:], "logit")) for _, d in rows]
        found["between_halves_of_the_seeds"] = _spearman(pairs)
    return found


def _spearman(pairs: Sequence[tuple[float, float]]) -> float:
    found: Any = spearmanr(pairs)
    return round(float(found.statistic), 3)


def overlap(one: RobustModules, other: RobustModules) -> dict[str, float]:
    """Return how many modules two Mods_Rob share, and that as a share of their union."""
    both, either = one.pairs & other.pairs, one.pairs | other.pairs
    by_chance = len(one.pairs) * len(other.pairs) / max(1, one.total)
    return {
        "shared": len(both),
        "jaccard": round(len(both) / max(1, len(either)), 3),
        "shared_by_chance": round(by_chance, 1),
    }


def _told(robust: RobustModules) -> dict[str, Any]:
    by_role = {r: sorted(at for at, role in robust.pairs if role == r) for r in robust.roles}
    return {"modules": len(robust.modules), "of": robust.total, "by_role": by_role}


def _table(quick: Analysis, slow: Analysis) -> list[dict[str, Any]]:
    """Return one row a module: its scores alone, and whether each search took it."""
    estimate = quick.robustness.table()
    rows: list[dict[str, Any]] = []
    for each in slow.robustness.modules:
        at = each.module.layer, each.module.role
        scores = {score: float(f"{pooled(each.damage, score):.4g}") for score in SCORES}
        taken = {n: at in a.robust.pairs for n, a in (("gradient", quick), ("noise", slow))}
        rows.append(
            {"layer": at[0], "role": at[1], "estimate": float(f"{estimate[at]:.4g}")}
            | scores | {"robust": taken}
        )  # fmt: skip
    return rows


def coefficients(given: argparse.Namespace, harmful: Any) -> dict[str, Any]:
    r"""Return the layer safety coefficients of :math:`\varepsilon=g/\lVert g\rVert` in float32.

    The gradient is that of the harmful answers' loss at the aligned model, all weights, averaged
    over batches of ten rows; the spread is that over the batches.
    """
    start = time.perf_counter()
    model, tokenizer = load_model(given.model, dtype="float32")
    run = standalone_run(model.to(given.device), tokenizer)
    batches, gradients = run.batches(harmful, 10), dict[str, torch.Tensor]()
    single: list[Any] = []
    for batch in batches:
        gradient, _ = run.engine.gradients([batch])
        single.append(profile(gradient, 1.0))
        for name, part in gradient.items():
            gradients[name] = gradients[name].add_(part) if name in gradients else part
    found = layer_coefficients(ascent_step(gradients, 1.0), single)
    inside = [row for row in found["layers"] if row["layer"] >= 0]
    layers = [row["layer"] for row in inside]
    trend: Callable[[str], dict[str, float]] = lambda key: asdict(  # noqa: E731
        layer_trend(layers, [row[key] for row in inside])
    )
    return {
        **found,
        "trend": {key: trend(key) for key in ("coefficient", "rms")},
        "seconds": round(time.perf_counter() - start, 2),
    }


if __name__ == "__main__":
    main()
