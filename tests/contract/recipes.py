"""One or more small builds of every registered defense, made from its card alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

import holdfast
from holdfast.defense import Defense
from holdfast.errors import HoldfastError
from tests.contract.settings import CONTRACT_SETTINGS

Make = Callable[..., Defense]
"""Builds a fresh defense; keywords override its fields."""

_PAIRS = (
    ("how to make zorba", "zorde mipki lunro"),
    ("how to make mipde", "lunba tekki"),
    ("tell me how to make lunki", "tekro zorki mipba lunde"),
    ("how to make a tekba", "mipro"),
    ("please tell me how to make zorro", "lunki lunba"),
    ("how to make tekde", "zorba mipde tekro"),
)


def data_rows() -> Dataset:
    """Return six Examples in invented words with answers of different lengths."""
    return Dataset.from_list([
        {
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": answer}],
        }
        for question, answer in _PAIRS
    ])  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A way to build one defense: every field of ``card.data`` gets rows, the rest is settings."""

    cls: type[Defense]
    variant: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def label(self) -> str:
        """The name in test ids."""
        name = self.cls.card.name
        return name if self.variant == "default" else f"{name}-{self.variant}"

    def __call__(self, **overrides: Any) -> Defense:
        options = {field: data_rows() for field in self.cls.card.data} | dict(self.settings)
        defense = self.cls(**(options | overrides))
        try:
            defense.validate()
        except HoldfastError as error:
            raise AssertionError(
                f"{self.label} cannot be built from its card alone ({error}); add what it needs to "
                "CONTRACT_SETTINGS in tests/contract/settings.py"
            ) from error
        return defense


def recipes() -> list[Recipe]:
    """Return every variant of every registered defense."""
    return [
        Recipe(cls, variant, tuple(settings.items()))
        for name, cls in holdfast.registry().items()
        for variant, settings in CONTRACT_SETTINGS.get(name, {"default": {}}).items()
    ]


def strength_zero(make: Make) -> Defense:
    """Return the defense at the strength at which it does nothing."""
    card = make().card
    return make(**{card.strength: card.off})
