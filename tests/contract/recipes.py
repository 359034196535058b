"""One or more small builds of every registered defense, made from its card alone."""

from dataclasses import dataclass
from typing import Any

from datasets import Dataset

import holdfast
from holdfast.defense import Defense
from holdfast.errors import HoldfastError
from holdfast.organism.scenarios import defender_pairs
from tests.contract.settings import CONTRACT_SETTINGS


def data_rows() -> Dataset:
    """Return six of the organism's harmful pairs."""
    return defender_pairs().select(range(6))


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
