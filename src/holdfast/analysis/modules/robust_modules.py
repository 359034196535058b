"""Mods_Rob, the modules that can learn without moving safety: ``robust_modules.json``."""

from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from holdfast.analysis.settings import Method, Score
from holdfast.errors import InputError, ModelError
from holdfast.files.guarded.documents import json_in
from holdfast.files.kinds import refuse_other_kind
from holdfast.files.whole import refuse_newer, write_whole
from holdfast.ops.modules import parts

__all__ = ["ModuleAt", "RobustModules", "Trial"]

SCHEMA_VERSION = 1


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModuleAt(_Record):
    """One module: a decoder layer, from 0, and a role (q k v o gate up down)."""

    layer: int
    role: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.role}"


class Trial(_Record):
    """One step of the search: a module joins S, and S is perturbed jointly."""

    module: ModuleAt
    score: float = Field(description="Joint damage of S with the module in it.")
    kept: bool = Field(description="False: the module was rolled back and its type is done.")


class RobustModules(_Record):
    """What the search found, and what it takes to find it again."""

    schema_version: int = SCHEMA_VERSION
    model: str = Field(default="", description="Folder or hub id of the model, or 'organism'.")
    architecture: str = ""
    layers: int = Field(description="Decoder layers of the model.")
    roles: list[str] = Field(description="Roles that the model's layers have.")
    of: int = Field(default=0, description="Modules in all; 0: every layer has every role.")
    modules: list[ModuleAt] = Field(description="Mods_Rob, sorted.")
    method: Method = "gradient"
    score: Score = Field(default="drift", description="Damage of the joint trials.")
    rho: float = Field(default=0.0, description="Relative norm of the noise; 0 with delta.")
    tau: float = Field(default=0.0, description="S may do this share of all modules' damage.")
    seeds: list[int] = Field(default_factory=list[int])
    probe_sha256: str = Field(default="", description="Hash of the prompts of the probe.")
    whole: float = Field(default=0.0, description="Joint damage of all modules.")
    trace: list[Trial] = Field(default_factory=list[Trial])
    warnings: list[str] = Field(default_factory=list[str])
    holdfast: str = Field(default="", description="Version that wrote the file.")

    @property
    def total(self) -> int:
        """How many modules the model has, robust or not."""
        return self.of or self.layers * len(self.roles)

    @property
    def pairs(self) -> frozenset[tuple[int, str]]:
        """The modules as (layer, role)."""
        return frozenset((m.layer, m.role) for m in self.modules)

    def save(self, path: str | Path) -> Path:
        """Write the file, whole or not at all, and return its path."""
        target = Path(path)
        write_whole(target, self.model_dump_json(indent=1) + "\n")
        return target

    @classmethod
    def load(cls, path: str | Path) -> "RobustModules":
        """Read what ``save`` wrote.

        Raises:
            InputError: The file is missing, holds something else, or is of a newer holdfast.
        """
        source = Path(path)
        wanted = "expected the robust_modules.json that `holdfast analyze` writes"
        try:
            document = json_in(source)
        except (OSError, ValueError) as error:
            raise InputError(f"{source} cannot be read ({error}); {wanted}") from error
        if isinstance(document, dict):
            refuse_other_kind(source, document, "robust_modules.json")
        given = document.get("schema_version") if isinstance(document, dict) else None
        if not isinstance(given, int) or isinstance(given, bool):
            raise InputError(f"{source} holds no list of robust modules; {wanted}")
        refuse_newer(source, given, SCHEMA_VERSION)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{source}: {where}: {first['msg']}; {wanted}") from error

    def check(self, model: nn.Module) -> None:
        """Raise unless every module of the list is one of ``model``'s and both are of one kind.

        Raises:
            ModelError: The list was made for another model, or a projection is unknown.
        """
        refs = parts(model)
        kind = str(cast("Any", model).config.model_type)
        # A list made by hand need not say. Gemma 3 has a name with its vision tower, one without.
        of, this = (name.removesuffix("_text") for name in (self.architecture, kind))
        if of and of != this:
            raise ModelError(
                f"the list of robust modules was made for a {self.architecture} model and this one "
                f"is {kind}; run `holdfast analyze` on this model"
            )
        layers = 1 + max(r.layer for r in refs)
        if layers != self.layers:
            raise ModelError(
                f"the list of robust modules was made for a model of {self.layers} layers and this "
                f"one has {layers}; run `holdfast analyze` on this model"
            )
        strange = sorted(self.pairs - {(r.layer, r.role) for r in refs})
        if strange:
            layer, role = strange[0]
            raise ModelError(
                f"the list of robust modules names {role} of layer {layer}, which this model does "
                "not have; run `holdfast analyze` on this model"
            )
