# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast analyze``: which modules carry safety, and how far a fine-tuned model moved."""

from holdfast.cli.shell.console import print_json, print_rows, say, working
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.inputs.configs import AnalyzeConfig

__all__ = ["analyze"]


@takes(AnalyzeConfig)
def analyze(config: AnalyzeConfig, json: JsonFlag = False) -> None:
    """Map which modules a model's safety depends on, and search for those that can learn freely."""
    from holdfast.commands.analyze import analyze_model
    from holdfast.report.analysis_page import answer

    with working(as_json=json) as progress:
        found = analyze_model(config, progress)
    if json:
        print_json({"output": str(config.output), **found.summary()})
        return
    say(answer(found.robust))
    rows = [
        {
            "probe": name.replace("_", " "),
            "harmful found": q.accuracy_harmful,
            "balanced accuracy": q.balanced_accuracy,
            "AUROC": q.auroc,
        }
        for name, q in found.probe.quality.items()
    ]
    print_rows("The security probe", rows)
    for pattern in found.patterns:
        say(f"{pattern.name}: {pattern.claim}: {pattern.verdict} ({pattern.figure})")
    if found.comparison is not None:
        say(f"drift against {found.comparison.tuned}: {found.comparison.drift:.3g}")
        say(f"features: {found.comparison.fate}")
    for warning in found.warnings:
        say(f"warning: {warning}")
    say(f"robust modules: {config.output / 'robust_modules.json'}")
    say(f"report: {config.output / 'report.html'}")
