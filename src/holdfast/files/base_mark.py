"""The mark of the base that an adapter was trained on: a cheap fingerprint of its weights.

Names, shapes and a few values of every matrix are hashed, so that a model of other weights is told
from the base even where all shapes are the same.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.errors import ModelError
from holdfast.files.guarded.documents import json_in
from holdfast.files.weights import SavedWeights

__all__ = ["MARK", "BaseMark", "read_mark", "refuse_other_base"]

MARK = "holdfast_base.json"
SAMPLED = 64
"""Values of each matrix that are hashed."""
_FINER = {"float32": ("float32", "bfloat16", "float16"), "bfloat16": ("bfloat16",),
          "float16": ("float16",)}  # fmt: skip
"""Type in memory → the types whose rounding of the weights is known from it."""


@dataclass(frozen=True)
class BaseMark:
    """What is known of a base model."""

    name: str
    """The folder or hub id that it was loaded from."""
    shapes: str
    """SHA-256 of the names and shapes of all matrices; "" where they are quantized or elsewhere."""
    values: Mapping[str, str]
    """Type of the weights → SHA-256 of the sampled values, rounded to that type.

    Under ``embeddings TYPE`` stands that of the input embeddings alone: it is what a quantized
    model and the same one in full have alike.
    """

    @classmethod
    def of(cls, model: nn.Module, name: str) -> "BaseMark":
        """Return the mark of a bare model."""
        found = list(_matrices(model))
        if any(p.is_meta or not p.is_floating_point() for p in model.parameters()):
            return cls(name, "", _of_embeddings(model))
        shapes = hashlib.sha256()
        for key, p in found:
            shapes.update(f"{key} {tuple(p.shape)}\n".encode())
        dtype = str(found[0][1].dtype).removeprefix("torch.") if found else ""
        samples = torch.cat([_sampled(p) for _, p in found]) if found else torch.zeros(0)
        values = {kind: _hash(samples, kind) for kind in _FINER.get(dtype, ())}
        return cls(name, shapes.hexdigest(), {**values, **_of_embeddings(model)})

    @classmethod
    def of_embeddings(cls, model: nn.Module) -> "BaseMark":
        """Return what is known of a base by its input embeddings, whatever adapters are on it."""
        return cls("", "", _of_embeddings(model))

    @classmethod
    def of_files(cls, model: nn.Module, saved: SavedWeights, name: str) -> "BaseMark":
        """Return the mark of a bare model whose weights lie in files; one at a time is read.

        Where a weight is stored otherwise than it is used, the embeddings alone are compared.
        """
        found, shapes = list(_matrices(model)), hashlib.sha256()
        for key, p in found:
            shapes.update(f"{key} {tuple(p.shape)}\n".encode())
        kinds, embeddings = _FINER["float32"], _input_weight(model)
        samples = {key: _sampled(_read(saved, key, p)) for key, p in found if key in saved.files}
        whole = torch.cat(list(samples.values())) if len(samples) == len(found) else None
        values = {kind: _hash(whole, kind) for kind in kinds if whole is not None}
        own = [samples[key] for key, p in found if p is embeddings and key in samples]
        values |= {f"embeddings {kind}": _hash(own[0], kind) for kind in kinds if own}
        return cls(name, shapes.hexdigest(), values)

    def save(self, folder: Path) -> None:
        """Write the mark beside an adapter."""
        (folder / MARK).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def difference(self, other: "BaseMark") -> str:
        """Return in what the weights of two bases differ, "" where they are the same."""
        if self.shapes and other.shapes and self.shapes != other.shapes:
            return "other modules or other sizes"
        # Weights that were rounded twice, in two ways, cannot be compared.
        kinds = [kind for kind in self.values if kind in other.values]
        differs = any(self.values[kind] != other.values[kind] for kind in kinds)
        return "the same sizes and other values" if differs else ""


def read_mark(folder: Path) -> BaseMark | None:
    """Return the mark beside an adapter, None where there is none that can be read."""
    try:
        found = json_in(folder / MARK)
        mark = BaseMark(str(found["name"]), str(found["shapes"]), dict(found["values"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return mark


def refuse_other_base(folder: Path, base: BaseMark, shown: str) -> None:
    """Raise ``ModelError`` where the mark beside an adapter tells that a model is not its base.

    Args:
        folder: The adapter's.
        base: What is known of the model without an adapter.
        shown: What errors call the adapter.
    """
    mark = read_mark(folder)
    wrong = "" if mark is None else mark.difference(base)
    if mark is not None and wrong:
        raise ModelError(
            f"{shown}: was trained on another base than this model ({wrong}): "
            f"give its base, {mark.name or 'the model that it was trained on'}"
        )


def _matrices(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the floating-point matrices by name; biases may be part of an adapter."""
    for name, p in model.named_parameters():
        if p.dim() >= 2 and p.is_floating_point():
            yield name, p


def _read(saved: SavedWeights, name: str, p: Tensor) -> Tensor:
    # Of the shape and on the processor, without memory of its own.
    return saved.read(name, torch.zeros(()).expand(p.shape))


def _input_weight(model: Any) -> Any:
    return getattr(model.get_input_embeddings(), "weight", None)


def _of_embeddings(model: Any) -> dict[str, str]:
    weight = _input_weight(model)
    if weight is None or weight.is_meta:
        return {}
    kinds = _FINER.get(str(weight.dtype).removeprefix("torch."), ())
    return {f"embeddings {kind}": _hash(_sampled(weight), kind) for kind in kinds}


def _sampled(p: Any) -> Tensor:
    flat = p.detach().reshape(-1)
    step = max(1, flat.numel() // SAMPLED)
    return flat[::step][:SAMPLED].float().cpu()


def _hash(samples: Tensor, kind: str) -> str:
    rounded = samples.to(getattr(torch, kind)).float()
    return hashlib.sha256(rounded.numpy().tobytes()).hexdigest()
