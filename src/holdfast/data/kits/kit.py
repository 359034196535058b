"""What a kit is: one YAML file that says where a public data set lies and how its rows are read.

A kit has parts (the unsafe prompts of a benchmark, its training rows, ...), each with the names
that its local files go by, its place on the hub, and templates that make a prompt and an answer of
a row's columns. ``roles`` says which part serves as what.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from holdfast.errors import ConfigError, reason_of
from holdfast.files.guarded.documents import refuse_deep, text_in

__all__ = ["Hub", "Kit", "Part", "Role", "kit_in", "kit_of_text"]

Role = Literal[
    "data", "harmful", "safe", "alignment", "benign", "validation",
    "test_harmful", "test_safe", "test_task", "test_useful",
]  # fmt: skip
"""What rows can serve as; the names of the fields that take them."""
ROLES: tuple[str, ...] = get_args(Role)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hub(_Strict):
    """Where a part lies on the hub."""

    id: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    config: str | None = None
    split: str = "train"
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """The commit that is read; without one the newest is asked for, and recorded."""
    gated: bool = False
    """Its owner wants terms accepted first, so a token is needed."""


class Part(_Strict):
    """Some rows of a kit."""

    files: tuple[str, ...] = ()
    """Names that local copies go by, the likeliest first; ``*`` stands for anything."""
    hub: Hub | None = None
    prompt: str
    """Jinja over a row's columns: the user's message. Names of columns are in small letters."""
    answer: str | None = None
    """Jinja: the assistant's answer; None where the set has prompts alone."""
    where: str | None = None
    """A Jinja expression: rows for which it is false are left out."""
    category: str | None = None
    """The column that tells the kind of a prompt."""


class Kit(_Strict):
    """A public data set by name."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str
    licence: str
    paper: str = ""
    source: str = ""
    """Where the set is published."""
    parts: Mapping[str, Part]
    roles: Mapping[Role, str]
    """Which part serves as what."""

    @model_validator(mode="after")
    def _parts_exist(self) -> "Kit":
        for role, part in self.roles.items():
            if part not in self.parts:
                raise ValueError(f"roles.{role} names the part {part!r}, which is not there")
            if role in NEED_ANSWERS and self.parts[part].answer is None:
                raise ValueError(f"roles.{role} needs answers, and the part {part!r} has none")
        if not self.parts:
            raise ValueError("parts is empty")
        return self


NEED_ANSWERS = frozenset(ROLES) - {"test_harmful", "test_safe"}


def kit_in(path: Path) -> Kit:
    """Return the kit that a YAML file holds.

    Raises:
        ConfigError: The file cannot be read, or holds no kit; names what is wrong in it.
    """
    try:
        return kit_of_text(text_in(path), str(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}): give a kit's YAML file") from error


def kit_of_text(text: str, where: str) -> Kit:
    """Return the kit in ``text``; see ``kit_in``."""
    try:
        found: Any = yaml.safe_load(text)
        refuse_deep(found)
        return Kit.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "the kit"
        said = re.sub(r"^Value error, ", "", first["msg"])
        raise ConfigError(f"{where}: {place}: {said}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: is not the YAML of a kit: {reason_of(error)}") from error
