"""What a defense leaves behind: tensors and documents, kept apart from the model's weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file, save_file
from torch import Tensor

from holdfast.errors import ConfigError
from holdfast.files.guarded.documents import json_in
from holdfast.files.nesting import refuse_in_model
from holdfast.files.private import close_folder, keeping_private, open_to_umask
from holdfast.files.whole import write_whole

__all__ = [
    "Artifact", "Block", "Curve", "Sentence", "Table", "joined_state", "load_state", "save_state",
    "split_state",
]  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows that a report shows as they are.

    Raises:
        ConfigError: A row is not as long as the heads.
    """

    title: str
    columns: tuple[str, ...]
    """The heads."""
    rows: tuple[tuple[str | int | float | bool | None, ...], ...]
    note: str = ""
    """What a reader must know to read it."""
    kind: Literal["table"] = "table"

    def __post_init__(self) -> None:
        _same_length(self.title, len(self.columns), [("a row", row) for row in self.rows])


@dataclass(frozen=True)
class Curve:
    """Series over one axis, each drawn in a plot of its own with a line for each seed.

    Raises:
        ConfigError: A series is not as long as ``x``.
    """

    title: str
    axis: str
    """What ``x`` is."""
    x: tuple[float, ...]
    series: dict[str, tuple[float | None, ...]]
    """Title with its unit → a value at each ``x``; None where there is none."""
    note: str = ""
    """What a reader must know to read it."""
    marked: float | None = None
    """The ``x`` that the defense chose."""
    spread: dict[str, tuple[float | None, ...]] = field(
        default_factory=dict[str, tuple[float | None, ...]]
    )
    """Deviation of a series' values, drawn as bars."""
    kind: Literal["curve"] = "curve"

    def __post_init__(self) -> None:
        _same_length(self.title, len(self.x), [*self.series.items(), *self.spread.items()])


@dataclass(frozen=True)
class Sentence:
    """A finding in words."""

    title: str
    text: str
    note: str = ""
    """What a reader must know to read it."""
    kind: Literal["sentence"] = "sentence"


Block = Table | Curve | Sentence
"""What a report shows without knowing the method."""


def _same_length(title: str, expected: int, lines: list[tuple[str, tuple[Any, ...]]]) -> None:
    for name, values in lines:
        if len(values) != expected:
            raise ConfigError(
                f"report block {title!r}: {name} has {len(values)} values, expected {expected}; "
                "give None where there is none"
            )


@dataclass(frozen=True)
class Artifact:
    """Files of one defense, and what of it a report shows."""

    name: str
    """Folder name: the defense's name."""
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict[str, dict[str, Tensor]])
    """Relative file name without suffix → tensors, saved as ``.safetensors``."""
    documents: dict[str, Any] = field(default_factory=dict[str, Any])
    """Relative file name without suffix → JSON value, saved as ``.json``."""
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    """Name → JSON value, listed in the report, or a ``Block``, which the report shows by itself."""
    private: bool = False
    """True if publishing the files would undo a model's safety: they are a jailbreak."""

    def __repr__(self) -> str:
        """Return what it holds and no value of it: a notebook keeps what it prints."""
        held = ", ".join([*self.tensors, *self.documents])
        return f"Artifact({self.name!r}, private={self.private}, holds {held or 'nothing'})"

    def save(self, folder: str | Path) -> Path:
        """Write the files to ``folder/name`` and return that path.

        Private ones are readable by the user alone; ``export`` is the way to hand them on.

        Raises:
            ConfigError: They are private, and the folder is a model's or lies in one.
        """
        if not self.private:
            return self.export(folder)
        target = Path(folder) / self.name
        refuse_in_model(target, f"the artifact of {self.name}")
        close_folder(target)
        with keeping_private(target, self.files(target)):
            return self._write(target)

    def export(self, folder: str | Path) -> Path:
        """Write the files to ``folder/name`` for others to read, private or not."""
        target = Path(folder) / self.name
        if self.private:
            refuse_in_model(target, f"the artifact of {self.name}")
        self._write(target)
        open_to_umask(target, self.files(target))
        return target

    def files(self, target: Path) -> list[Path]:
        """Return the paths of the files in ``target``."""
        found = [target / f"{stem}.safetensors" for stem in self.tensors]
        return found + [target / f"{stem}.json" for stem in self.documents]

    def _write(self, target: Path) -> Path:
        target.mkdir(parents=True, exist_ok=True)
        for stem, tensors in self.tensors.items():
            path = target / f"{stem}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, path)
        for stem, document in self.documents.items():
            path = target / f"{stem}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document, indent=2) + "\n")
        return target


def split_state(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split a nested mapping with string keys into tensors (by ``/`` path) and a JSON rest."""
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, Tensor):
            tensors[key] = value.detach().cpu().clone().contiguous()
        elif isinstance(value, Mapping):
            below, plain = split_state(value)
            tensors |= {f"{key}/{k}": t for k, t in below.items()}
            rest[key] = plain
        else:
            rest[key] = value
    return tensors, rest


def joined_state(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Undo ``split_state``."""
    state: dict[str, Any] = json.loads(json.dumps(rest))
    for path, tensor in tensors.items():
        *parents, leaf = path.split("/")
        at = state
        for parent in parents:
            at = at.setdefault(parent, {})
        at[leaf] = tensor
    return state


def save_state(folder: Path, stem: str, state: Mapping[str, Any], *, private: bool = False) -> None:
    """Write a state as ``stem.safetensors`` and ``stem.json``; no pickle.

    Where the JSON file is, the state is whole. A private one lies in a folder that is the user's
    alone.
    """
    tensors, rest = split_state(state)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{stem}.safetensors", folder / f"{stem}.json"]
    with keeping_private(folder if private else None, files):
        save_file(tensors, files[0])
        write_whole(files[1], json.dumps(rest) + "\n")


def load_state(folder: Path, stem: str) -> dict[str, Any]:
    """Read what ``save_state`` wrote."""
    rest = json_in(folder / f"{stem}.json")
    return joined_state(load_file(folder / f"{stem}.safetensors"), rest)
