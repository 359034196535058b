"""``NAME[:key=value,...]`` names a defense: it is read once, with the types of its own fields."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from holdfast.defense import Card, Defense, ModelRole, Stage, Variant
from holdfast.defenses import find
from holdfast.defenses.installed import code_of
from holdfast.errors import ConfigError, nearest
from holdfast.files.guarded.paths import refuse_text
from holdfast.inputs.configs import ModelConfig, RepairConfig
from holdfast.inputs.options.choice_options import refuse_unused_limits
from holdfast.inputs.values import checked
from holdfast.training.compose import composed

__all__ = ["Spec", "build_defenses", "files_in", "model_fields", "specs_of", "unused_data"]


@dataclass(frozen=True)
class Spec:
    """A defense with the fields that a text sets; two specs are equal where their texts are."""

    text: str
    """As it was given."""
    cls: type[Defense] = field(compare=False)
    options: Mapping[str, Any] = field(compare=False)
    """The fields that the text sets, in its order."""

    @classmethod
    def parse(cls, text: str, entry: str = "defense") -> "Spec":
        """Read ``NAME[:key=value,...]``; ``entry`` is what an error says it was given as.

        Raises:
            ConfigError: The name or a key is unknown (suggests the nearest), a key is given twice,
                or a value has another type than its field.
        """
        name, _, rest = text.partition(":")
        found = find(name.strip())
        options: dict[str, Any] = {}
        try:
            for part in rest.split(",") if rest.strip() else []:
                key, value = _option(found, part)
                if key in options:
                    raise ConfigError(f"{key} is given twice; give it once")
                options[key] = value
        except ConfigError as error:
            error.args = (f"`{entry}={text}`: {error}",)
            raise
        return cls(text, found, options)

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to other processes as text: they find an installed defense for themselves."""
        return Spec.parse, (self.text,)

    @property
    def card(self) -> Card:
        """The card of the defense."""
        return self.cls.card

    @property
    def told(self) -> str:
        """The defense with what the text sets: ``name(key=value,...)``."""
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.card.name}({options or 'default'})"

    @property
    def bare(self) -> Defense:
        """The defense without data: what its hyperparameters alone decide can be asked of it."""
        return self.cls(**self.options)

    @property
    def variant(self) -> Variant:
        """What the defense with these settings is called beyond its name.

        Raises:
            ConfigError: The label cannot stand in an arm's name.
        """
        found = self.bare.variant()
        if not re.fullmatch("[a-z0-9_.-]*", found.label):
            raise ConfigError(
                f"{self.card.name}: variant() has label={found.label!r}; small letters, digits, "
                "_, - and . can stand in a name"
            )
        return found

    def resolved(self) -> dict[str, Any]:
        """Return every hyperparameter as JSON, so that a changed default is another run.

        Raises:
            ConfigError: The code of an installed defense cannot be read.
        """
        return {"name": self.card.name, **self.bare.config(), **code_of(self.cls)}

    def build(
        self, data: Mapping[str, Any], unsaid: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Defense:
        """Return the defense with its data; see ``build_defenses``."""
        rows = {key: data[key] for key in self.card.data if data.get(key) is not None}
        return self.cls(**rows, **{**(unsaid or {}).get(self.card.name, {}), **self.options})


def _option(cls: type[Defense], part: str) -> tuple[str, Any]:
    """Return the field and the value of one ``key=value``."""
    key, equals, value = (piece.strip() for piece in part.partition("="))
    known = [
        f.name for f in fields(cls) if f.init and f.name not in cls.card.data  # type: ignore[arg-type]
    ]  # fmt: skip
    if not equals:
        raise ConfigError(f"{part!r} is not key=value")
    if key in cls.card.data:
        raise ConfigError(f"{key} takes a data set; give it as `{key}=FILE`")
    if key not in known:
        raise ConfigError(f"unknown key {key!r}, known: {', '.join(known)}.{nearest(key, known)}")
    refuse_text(value, key)
    return key, checked(key, value, get_type_hints(cls)[key])


def specs_of(config: ModelConfig) -> list[Spec]:
    """Return the defenses that a command's config names.

    Raises:
        ConfigError: One is wrong, or acts in another stage: it would run, and not do what its
            paper says.
    """
    if isinstance(config, RepairConfig):
        return [_repair(config)]
    refuse_unused_limits(config)
    specs = [Spec.parse(text) for text in getattr(config, "defense", ())]
    stage = getattr(config, "stage", None)
    for card in (spec.card for spec in specs):
        if (card.stage is Stage.ALIGN) != (stage == "align"):
            then = ", then tune the model that it writes" if card.stage is Stage.ALIGN else ""
            raise ConfigError(
                f"{card.name} acts in the stage {card.stage}, not in {stage}: give it to "
                f"`holdfast {card.stage}`{then}"
            )
    return specs


def _repair(config: RepairConfig) -> Spec:
    """Return the method with ``max_task_drop`` in it."""
    method = Spec.parse(config.method, "method")
    if config.max_task_drop is None:
        return method
    if "max_task_drop" in method.options:
        raise ConfigError("`max_task_drop` stands in `method` as well; give it once")
    if config.validation is None:
        raise ConfigError("`max_task_drop` needs `validation=FILE`, on which the drop is measured")
    given = f"{method.text}," if method.options else f"{method.card.name}:"
    return Spec.parse(f"{given}max_task_drop={config.max_task_drop}", "method")


def build_defenses(
    specs: Sequence[Spec],
    data: Mapping[str, Any],
    unsaid: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Defense, ...]:
    """Build the defenses in order and check every field and every pair.

    Args:
        specs: The first is outermost.
        data: Data sets by the name of the field that takes them (harmful, safe, ...); None is
            left out.
        unsaid: Values of fields, by defense, where its spec leaves them out.

    Raises:
        ConfigError: A value is out of range, data are missing, or two exclude each other.
    """
    return composed([spec.build(data, unsaid) for spec in specs])


def model_fields(
    specs: Sequence[Spec], folder: Callable[[ModelRole], str | None]
) -> dict[str, dict[str, str]]:
    """Return ``unsaid`` of ``build_defenses``: a folder in every field that takes a model.

    Args:
        specs: What they set themselves is left out.
        folder: Gives the model's folder; None where there is none.
    """
    found: dict[str, dict[str, str]] = {}
    for spec in specs:
        taken = (spec.card.models or {}).items()
        folders = {key: folder(role) for key, role in taken if key not in spec.options}
        found[spec.card.name] = {key: path for key, path in folders.items() if path is not None}
    return found


def files_in(specs: Sequence[Spec]) -> dict[str, Path]:
    """Return the files and folders that values of the specs name, by ``defense:key``.

    They are what a run reads besides its data, so an output must not replace them.
    """
    return {
        f"{spec.card.name}:{key}": Path(value)
        for spec in specs
        for key, value in spec.options.items()
        if isinstance(value, str) and Path(value).exists()
    }


def unused_data(defenses: Sequence[Defense], data: Mapping[str, Any]) -> list[str]:
    """Return the names of given data sets that no defense takes."""
    taken = {key for defense in defenses for key in defense.card.data}
    return [key for key, rows in data.items() if rows is not None and key not in taken]
