"""What defenses cost on the real model, as a Markdown table of ``measurements/step_cost.py``."""

import json
from pathlib import Path

from real_tables import table

from holdfast.results.words import DASH

__all__ = ["cost_table"]

HEAD = ("trained", "defense", "processor time of a step", "by the clock", "memory over plain",
        "of the base")  # fmt: skip


def cost_table(path: Path) -> str:
    """Return time and memory over plain fine-tuning by what is trained; '' without the file.

    Memory is that of tensors alive at the peak, in copies of the trained tensors where all weights
    are; an adapter's are so few that activations outweigh them, so the last column counts in copies
    of the base.
    """
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    kinds = [name for name in found if name.startswith(("full ", "lora "))]
    rows = [
        [kind, name, f"{cost['step_cpu_ratio']:.2f}×", f"{cost['step_ratio']:.2f}×",
         f"{found[kind]['extra_in_trained'][name]:+.2f}" if kind.startswith("full") else DASH,
         f"{found[kind]['extra_in_base'][name]:+.2f}"]
        for kind in kinds
        for name, cost in found[kind]["variants"].items()
    ]  # fmt: skip
    how = found["setting"]
    note = (
        f"{how['rounds']} turns of {how['steps'] - 1} timed steps, {how['batch']} rows of "
        f"{how['tokens']} tokens, {how['threads']} threads. Memory: bytes of tensors alive at the "
        "peak of a whole run minus plain fine-tuning's, in copies of what is trained and of the "
        f"base. From `results/{path.name}`."
    )
    return f"{table(HEAD, rows)}\n\n{note}"
