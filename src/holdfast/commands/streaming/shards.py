"""A model folder edited shard by shard: in memory is one shard, never the model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from holdfast.defense import Tensorwise
from holdfast.errors import ModelError
from holdfast.files.guarded.models import INDEX, WHOLE, config_in, weight_files
from holdfast.files.weights import SavedWeights, open_weights
from holdfast.ops.modules import ModuleRef, projections
from holdfast.ops.weights import refuse_no_numbers

__all__ = ["Shards"]


@dataclass(frozen=True)
class Shards:
    """The weights of a folder, and which of them a repair may change."""

    folder: Path
    files: tuple[Path, ...]
    editable: Mapping[str, tuple[ModuleRef, Any]]
    """Name in the files → the projection whose weight it is."""

    @classmethod
    def of(cls, folder: Path, model: nn.Module) -> "Shards":
        """Return the folder's shards; ``model`` has its shapes and no weights.

        Raises:
            ModelError: A projection's weight is in no file by a name of its own, or has another
                shape.
        """
        shown = f"`model={folder}`"
        saved = open_weights(str(folder), shown, model)
        editable = dict(_editable(saved, model, shown))
        return cls(folder, tuple(weight_files(folder, shown)), editable)

    def write(
        self,
        target: Path,
        work: Tensorwise,
        dtype: torch.dtype,
        done: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Write every shard into ``target``, its weights edited in float32 and kept in ``dtype``.

        Args:
            target: An empty folder.
            work: What edits them.
            dtype: Type of all floating-point tensors that are written.
            done: Called with the number of shards that are written.
        """
        sizes, places = 0, dict[str, str]()
        for number, file in enumerate(self.files, start=1):
            tensors = self._edited(file, work, dtype)
            sizes += sum(t.numel() * t.element_size() for t in tensors.values())
            save_file(tensors, target / file.name, metadata={"format": "pt"})
            places |= dict.fromkeys(tensors, file.name)
            del tensors
            done(number)
        # A single shard by another name is found by the index alone.
        if [file.name for file in self.files] != [WHOLE]:
            index = config_in(self.folder, INDEX)
            index |= {"metadata": {**(index.get("metadata") or {}), "total_size": sizes},
                      "weight_map": places}  # fmt: skip
            (target / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")

    def _edited(self, file: Path, work: Tensorwise, dtype: torch.dtype) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  # It is no mapping.
                tensor: Tensor = opened.get_tensor(name)
                if tensor.is_floating_point():
                    refuse_no_numbers(name, tensor)
                if name in self.editable:
                    tensor = _with_edit(tensor, *self.editable[name], work)
                tensors[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        return tensors


@torch.no_grad()
def _with_edit(tensor: Tensor, ref: ModuleRef, linear: Any, work: Tensorwise) -> Tensor:
    """Return the weight with its edit added, in float32; the layer holds it for that time alone."""
    empty = linear.weight
    linear.weight = nn.Parameter(tensor.float(), requires_grad=False)
    try:
        edit = work.edit(ref, linear)
        # Added as the engine adds it to a model in memory, so that every bit is the same.
        return linear.weight.detach() if edit is None else linear.weight.add(edit, alpha=1.0)
    finally:
        linear.weight = empty


def _editable(saved: SavedWeights, model: nn.Module, shown: str) -> Any:
    """Yield the name in the files of each projection's weight, with the projection."""
    for ref, linear in projections(model).items():
        name = f"{ref.name}.weight"
        if name not in saved.files:
            raise ModelError(
                f"{shown}: its files hold no tensor {name!r}, so that its weights are stored "
                "otherwise than they are used, and cannot be edited shard by shard: leave "
                "`streamed` out, which loads the whole model"
            )
        saved.check(name, linear.weight.shape)
        yield saved.keys.get(name, name), (ref, linear)
