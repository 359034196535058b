"""Access tokens, keys and passwords: from the environment only, never from an option or a file.

What an option holds is written into results, reports and checkpoints.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.errors import ConfigError
from holdfast.files.secret_names import is_secret

__all__ = ["refuse_secret_values", "refuse_secrets", "without_secret"]

_VALUES = re.compile(
    r"(?:\b(?:hf|api_org)_[A-Za-z0-9]{16,}|\b(?:sk|pk)-[A-Za-z0-9_-]{16,}|\bgh[opsu]_[A-Za-z0-9]{16,}"
    r"|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}|\bAKIA[0-9A-Z]{16}\b|\bxox[abpr]-[\w-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\bBearer\s+\S{8,}|://[^/\s:@]*:[^/\s@]+@)"
)
_KEYS = re.compile(r"(\w+)[\"']?\s*[:=]")
_VARIABLES = (
    ("wandb", "WANDB_API_KEY"), ("comet", "COMET_API_KEY"), ("neptune", "NEPTUNE_API_TOKEN"),
    ("mlflow", "MLFLOW_TRACKING_TOKEN"), ("clearml", "CLEARML_API_SECRET_KEY"),
    ("swanlab", "SWANLAB_API_KEY"), ("trackio", "HF_TOKEN"), ("aws", "AWS_SECRET_ACCESS_KEY"),
    ("azure", "AZUREML_TOKEN"), ("dagshub", "DAGSHUB_USER_TOKEN"), ("openai", "OPENAI_API_KEY"),
)  # fmt: skip


def refuse_secrets(options: Mapping[str, Any], source: str) -> None:
    """Raise where an option is named like a secret, or holds what looks like one, at any depth.

    Raises:
        ConfigError: Names the option and the environment variable to use; never its value.
    """
    for path, value in _leaves(options, ()):
        # A mapping may be given as text: JSON, or key=value.
        inside = _KEYS.findall(value) if isinstance(value, str) else []
        holds = isinstance(value, str) and _VALUES.search(value)
        if holds or any(map(is_secret, (*path, *inside))):
            shown = ".".join(map(without_secret, path))
            raise ConfigError(
                f"{source}: {shown} is, or looks like, a secret, and options are written into "
                f"results and checkpoints; set the environment variable {_variable(path)} instead"
            )


def refuse_secret_values(fields: Mapping[str, Any]) -> None:
    """Raise where a field of a config holds what looks like a secret.

    Raises:
        ConfigError: Names the field; never its value.
    """
    for path, value in _leaves(fields, ()):
        if isinstance(value, str) and _VALUES.search(value):
            raise ConfigError(
                f"`{path[0]}` holds what looks like a secret, and fields are written into results; "
                f"set the environment variable {_variable(path)} instead"
            )


def without_secret(text: str) -> str:
    """Return the text with what looks like a secret, or stands behind a secret's name, struck."""
    key, sign, _ = text.partition("=")
    if sign and is_secret(key.strip()):
        return f"{key}=…"
    return _VALUES.sub("…", text)


def _variable(path: tuple[str, ...]) -> str:
    last = path[-1]
    if last.isupper() and is_secret(last):
        return last
    text = "_".join(path).lower()
    return next((name for word, name in _VARIABLES if word in text), "HF_TOKEN (of the hub)")


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(below, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for number, below in enumerate(value):
            yield from _leaves(below, (*path, str(number)))
    elif path and value is not None:
        yield path, value
