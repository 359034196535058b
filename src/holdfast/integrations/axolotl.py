"""A plug-in of axolotl: ``plugins: [holdfast.integrations.axolotl.HoldfastPlugin]`` in its YAML.

The section ``holdfast:`` of the same file says which defenses run; see ``Plan``. axolotl is
imported when it asks for the class, and never by holdfast itself.
"""

import importlib
from functools import cache
from typing import Any

from pydantic import BaseModel

from holdfast.integrations.plan import Plan

__all__ = ["HoldfastArgs", "plugin_class"]

_NAME = "HoldfastPlugin"


class HoldfastArgs(BaseModel):
    """What axolotl adds to its own options."""

    holdfast: dict[str, Any] | None = None
    """The section; without it the plug-in does nothing, and says so by an error."""


@cache
def plugin_class(base: Any) -> type:
    """Return the plug-in as a subclass of axolotl's ``BasePlugin``."""

    class HoldfastPlugin(base):
        """Protects the trainer that axolotl has made."""

        _plan: Plan | None = None

        def get_input_args(self) -> str:
            """Return where axolotl finds the options."""
            return f"{HoldfastArgs.__module__}.{HoldfastArgs.__name__}"

        def pre_model_load(self, cfg: Any) -> None:
            """Read the section: what is wrong with it is told before a model is loaded."""
            self._plan = Plan.read(cfg.holdfast)

        def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
            """Add the defenses to the trainer."""
            plan = self._plan or Plan.read(cfg.holdfast)
            plan.protect(trainer)

    return HoldfastPlugin


def __getattr__(name: str) -> Any:
    """Make the class when axolotl asks for it, on axolotl's own base."""
    if name != _NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return plugin_class(importlib.import_module("axolotl.integrations.base").BasePlugin)
