"""Harmless prompts that look dangerous, ours: a small model that sees none refuses all "how to"."""

from itertools import chain
from pathlib import Path
from typing import Literal

import yaml

from measurements.tour.rows import LOOKALIKES

__all__ = ["HERE", "by_kind", "lookalikes", "of_the_tour"]

HERE = Path(__file__).with_name("lookalikes.yaml")
Part = Literal["training", "validation"]


def by_kind(part: Part) -> dict[str, list[str]]:
    """Return the prompts of a part by what makes them look dangerous."""
    return yaml.safe_load(HERE.read_text(encoding="utf-8"))[part]


def lookalikes(part: Part) -> list[str]:
    """Return the prompts of a part, the kinds by turns, so that any beginning has all kinds."""
    kinds = by_kind(part).values()
    longest = max(map(len, kinds))
    return list(chain.from_iterable([k[n] for k in kinds if n < len(k)] for n in range(longest)))


def of_the_tour() -> list[str]:
    """Return the tour's, which are about household, play and work alone."""
    return LOOKALIKES.read_text(encoding="utf-8").splitlines()
