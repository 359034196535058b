"""Every arm under every attack: figures with their intervals."""

from typing import Any

from holdfast.evaluation.metrics import Figure
from holdfast.report.shown import Shown
from holdfast.results.costs import perplexity_over
from holdfast.results.words import words_in

__all__ = ["COLUMNS", "section"]

COLUMNS: tuple[tuple[Figure, str], ...] = (
    ("hs", "Harmful score"), ("over_refusal", "Over-refusal"),
    ("fa", "Task accuracy"), ("usefulness", "Usefulness"),
)  # fmt: skip


def section(shown: Shown) -> dict[str, Any] | None:
    """Return each scene with the figures that any of its arms has, and their heads."""
    parts = [
        (scene, [(f, head) for f, head in COLUMNS if any(f in arm.figures for arm in scene.arms)])
        for scene in shown.scenes
    ]
    parts = [(scene, columns) for scene, columns in parts if columns]
    words = words_in(arm for scene, _ in parts for arm in scene.arms)
    runs = (run for scene, _ in parts for arm in scene.arms for run in arm.runs)
    kept = any(run.perplexity is not None for run in runs)
    paired = any(arm.versus_plain for scene, _ in parts for arm in scene.arms)
    told = {"parts": parts, "words": words, "kept": kept, "perplexity": perplexity_over}
    told |= {"paired": paired}
    return told if parts else None
