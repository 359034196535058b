"""How well the learned refusal judge agrees with people, as a Markdown table."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["agreement_table"]

HEAD = (
    "answers of", "n", "refusals", "accuracy", "refusals found", "help called refusal",
    "κ with people", "κ of the phrases", "κ of two people",
)  # fmt: skip


def agreement_table(path: Path) -> str:
    """Return the folds of ``results/refusal_judge.json``, and all of them together."""
    figures = json.loads(path.read_text(encoding="utf-8"))
    rows = [(f"{name}, left out", fold) for name, fold in figures["folds"].items()]
    lines = [
        f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD),
        *(_row(name, fold) for name, fold in [*rows, ("**all three**", figures["all"])]),
    ]  # fmt: skip
    partial = figures["all"]["labels"]["partial"]
    families, trial = figures["families"], figures["trial"]
    bad = figures["not_declined"]
    written = "answers that a language model wrote and labelled in the wording of others"
    note = (
        f"From `results/refusal_judge.json`, by `python -m measurements.refusal_judge`: "
        f"{figures['rows']:,} answers and {figures['own_rows']:,} rows of our own; intervals of "
        f"95 % over prompts. What ships has {figures['features']:,} weights "
        f"({figures['bytes'] / 1e6:.1f} MB) and reads {figures['answers_per_cpu_second']:,} "
        "answers a second of CPU time. Of "
        f"{sum(partial.values())} partial refusals {partial['partial']} are called so, "
        f"{partial['refusal']} refusals and {partial['compliance']} help. "
        f"{_unseen('hard answers that we wrote by hand', figures['hard'])} "
        f"{_unseen(written, trial)} "
        f"Where the question is bad and the answer does not decline, "
        f"{bad['advbench_openings']:.3f} of AdvBench's openings and "
        f"{bad['help_under_strongreject']:.3f} of plain help under questions of StrongREJECT "
        "are called refusals. "
        f"On the {families['answers']} answers that we wrote to train on, by families of "
        f"questions, each half judged by a fit that left it out, κ is "
        f"{_kappa(families['kappa'])}."
    )
    return "\n".join([*lines, "", note])


def _row(name: str, fold: Mapping[str, Any]) -> str:
    cells = [
        name, str(fold["answers"]), str(fold["refusals"]), f"{fold['accuracy']:.3f}",
        f"{fold['refusals_found']:.3f}", f"{fold['helpful_called_refusals']:.3f}",
        _kappa(fold["kappa"]), _kappa(fold["phrases"]), _kappa(fold["humans"]),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _unseen(what: str, found: Mapping[str, Any]) -> str:
    return (
        f"On {found['answers']} {what}, none of them trained on, κ is {_kappa(found['kappa'])}: "
        f"{found['refusals_found']:.2f} of the refusals are found, and "
        f"{found['helpful_called_refusals']:.2f} of the help is called refusal."
    )


def _kappa(found: list[float]) -> str:
    value, low, high = found
    return f"{value:.3f} ({low:.2f} to {high:.2f})"
