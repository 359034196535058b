"""Packages that holdfast works with and does not need: imported when asked for, or one line."""

import importlib
from types import ModuleType

from holdfast.errors import ConfigError

__all__ = ["imported"]


def imported(module: str, package: str, asked: str) -> ModuleType:
    """Return a module of an optional package.

    Args:
        module: Its name, such as ``lm_eval.models.huggingface``.
        package: What pip installs it by, such as ``'holdfast[lm-eval]'``.
        asked: What the user gave that needs it.

    Raises:
        ConfigError: It is not installed, or cannot be imported; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # Packages of this size fail in many ways where a part is missing.
        name, why = module.partition(".")[0], " ".join(str(error).split())
        raise ConfigError(
            f"{asked}: {name} cannot be imported ({why}): pip install {package}"
        ) from error
