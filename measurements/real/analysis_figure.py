"""Draw what ``measurements.real.analysis`` found: by module, by layer, and by both methods.

``python -m measurements.real.analysis_figure results/real/analysis.json docs/images/real.png``
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

ROLES = ("q", "k", "v", "o", "gate", "up", "down")
INK, BLUE, RED = "#222222", "#3566a8", "#b8452f"


def main() -> None:
    """Read the JSON and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("found", type=Path, help="analysis.json")
    parser.add_argument("picture", type=Path, help="PNG to write")
    given = parser.parse_args()
    given.picture.parent.mkdir(parents=True, exist_ok=True)
    drawn(json.loads(given.found.read_text())).savefig(given.picture, dpi=110)


def drawn(found: dict[str, Any]) -> Figure:
    """Return the figure: a map of drift, both methods against each other, ε by layer."""
    figure = Figure(figsize=(9.0, 6.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.0, 1.15))
    _map(above.subplots(1, 1), found, figure)
    left, right = below.subplots(1, 2)
    _methods(left, found)
    _coefficients(right, found["safety_coefficient"])
    return figure


def _map(axes: Any, found: dict[str, Any], figure: Figure) -> None:
    by = {(m["layer"], m["role"]): m for m in found["modules"]}
    roles = [r for r in ROLES if (0, r) in by]
    layers = range(found["layers"])
    shades = [[math.log10(max(by[n, r]["drift"], 1e-6)) for n in layers] for r in roles]
    image = axes.imshow(shades, aspect="auto", cmap="Blues")
    for (layer, role), row in by.items():
        for name, mark, color in (("noise", "s", RED), ("gradient", "x", INK)):
            if row["robust"][name]:
                axes.plot(layer, roles.index(role), mark, color=color, ms=7, mfc="none")
    axes.set_yticks(range(len(roles)), roles)
    axes.set(xlabel="layer", title="Drift of the security features under noise in one module, "
             "log10\n□ in Mods_Rob by exact noise, × by one backward pass")  # fmt: skip
    figure.colorbar(image, ax=axes, pad=0.01)


def _methods(axes: Any, found: dict[str, Any]) -> None:
    for kind, roles, color in (("attention", ROLES[:4], RED), ("MLP", ROLES[4:], BLUE)):
        rows = [m for m in found["modules"] if m["role"] in roles]
        axes.loglog(
            [m["estimate"] for m in rows], [m["logit"] for m in rows], "o", ms=3, color=color,
            label=kind,
        )  # fmt: skip
    rank = found["spearman"]["logit"]
    axes.set(xlabel="estimate of one backward pass", ylabel="exact: change of the logit",
             title=f"Both methods, by module (rank correlation {rank:.2f})")  # fmt: skip
    axes.legend(frameon=False)


def _coefficients(axes: Any, found: dict[str, Any]) -> None:
    rows = [r for r in found["layers"] if r["layer"] >= 0]
    layers = [r["layer"] for r in rows]
    axes.errorbar(
        layers, [r["rms"] for r in rows], yerr=[r["rms_std"] for r in rows], fmt="o", ms=4,
        color=BLUE, capsize=2,
    )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", scilimits=(-3, 4))
    axes.set(xlabel="layer", ylabel="root mean square of ε",
             title="Layer safety coefficients, ± spread over batches")  # fmt: skip


if __name__ == "__main__":
    main()
