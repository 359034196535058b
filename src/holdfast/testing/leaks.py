"""A walk over everything that a run wrote, in search of what is a jailbreak.

Nothing outside the folder of artifacts may resemble a private tensor: no file, no tensor in it, no
long list of numbers, and no difference of two of them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from holdfast.artifact import split_state
from holdfast.defense import Defense
from holdfast.ops.low_rank import LowRank
from holdfast.testing.runs import require

__all__ = ["Secret", "check_no_leak", "found_in", "leaks", "secrets_of"]

Named = list[tuple[str, Tensor]]
_LEAST = 64
"""Numbers in a tensor that can be told from chance."""
_PICKLES = (".pt", ".bin", ".pth")
_TEXTS = (".json", ".jsonl")


class Secret(NamedTuple):
    """A private tensor."""

    tensor: Tensor
    limit: float = 0.99
    """Least absolute cosine of what resembles it.

    A direction of a gradient is alike by nature to an optimizer's moments and to steps of training:
    the organism's data share their words. A vector, which is attached, is like nothing else.
    """


def check_no_leak(trainer: Any, folders: Iterable[Path]) -> None:
    """Require that nothing in ``folders`` resembles what the trainer's defenses keep private."""
    found = leaks(list(folders), secrets_of(trainer))
    require(not found, f"{len(found)} leaks, first: {'; '.join(found[:3])}")


def secrets_of(trainer: Any) -> dict[str, Secret]:
    """Return the private learned tensors and artifacts of a finished run, factors multiplied."""
    found: dict[str, Secret] = {}
    for defense in trainer.defenses:
        found |= _learned(defense)
    for artifact in (a for a in trainer.artifacts if a.private):
        for stem, tensors in artifact.tensors.items():
            found |= _with_products(f"{artifact.name}/{stem}", tensors)
    return {n: s for n, s in found.items() if s.tensor.numel() >= _LEAST and bool(s.tensor.any())}


def _learned(defense: Defense) -> dict[str, Secret]:
    out: dict[str, Secret] = {}
    for name in defense.private:
        tensors, _ = split_state({name: getattr(defense, name)})
        plain = {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items()}
        out |= _with_products(f"{defense.card.name}.{name}", plain)
    return out


def _with_products(where: str, tensors: Mapping[str, Tensor]) -> dict[str, Secret]:
    """Return the tensors and, of LoRA factors, B and the changes of the weights.

    A is left out: it stays near its first draw, which any adapter of that seed and rank shares.
    """
    factors = LowRank.from_tensors(tensors).factors
    if not factors:
        return {f"{where}/{name}": Secret(tensor) for name, tensor in tensors.items()}
    products = {f"{where}/{module} BA": b @ a for module, (a, b) in factors.items()}
    rest = {f"{where}/{n}": t for n, t in tensors.items() if not n.endswith(".lora_A.weight")}
    return {name: Secret(tensor, 0.5) for name, tensor in (products | rest).items()}


def leaks(folders: Sequence[Path], secrets: Mapping[str, Secret]) -> list[str]:
    """Return a line for each thing in the folders that resembles a secret.

    Args:
        folders: Everything that may be read by others; walked to the bottom.
        secrets: Private tensors by name; the limit is higher for small ones, whose cosine is large
            by chance.
    """
    files = sorted({f for folder in folders for f in folder.rglob("*") if f.is_file()})
    named = list(chain.from_iterable(found_in(file) for file in files))
    found = [
        f"{name} lies in {file}"
        for file in files
        for content in [file.read_bytes()]
        for name, (tensor, _) in secrets.items()
        if tensor.detach().cpu().contiguous().numpy().tobytes() in content
    ]
    for size in {s.tensor.numel() for s in secrets.values()}:
        alike = {n: s for n, s in secrets.items() if s.tensor.numel() == size}
        found += _correlated([(n, t) for n, t in named if t.numel() == size], alike)
    return found


def found_in(file: Path) -> Named:
    """Return the tensors in a file, and its long lists of numbers, each with where it is."""
    if file.suffix == ".safetensors":
        tensors: Any = load_file(file)
    elif file.suffix in _PICKLES:
        try:
            tensors = torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # noqa: BLE001  # training_args.bin holds objects; its bytes are searched.
            return []
    elif file.suffix in _TEXTS:
        tensors = [json.loads(line) for line in _documents(file)]
    else:
        return []
    return [(f"{file}:{where}", t) for where, t in _leaves(tensors, "") if t.numel() >= _LEAST]


def _documents(file: Path) -> list[str]:
    text = file.read_text()
    return [line for line in text.splitlines() if line] if file.suffix == ".jsonl" else [text]


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield where, value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(below, f"{where}/{key}")
    elif isinstance(value, list | tuple):
        if len(value) >= _LEAST and all(isinstance(v, float) for v in value):
            yield where, torch.tensor(value)
            return
        for number, below in enumerate(value):
            yield from _leaves(below, f"{where}/{number}")


def _correlated(named: Named, secrets: Mapping[str, Secret]) -> list[str]:
    r"""Return what among the tensors, and their differences, is like a secret, all of one size.

    With :math:`G = TT^\top` and :math:`P = TS^\top`, the cosine of :math:`T_i - T_j` and
    :math:`S_k` is :math:`(P_{ik} - P_{jk}) / \sqrt{G_{ii} + G_{jj} - 2G_{ij}}`.
    """
    if not named:
        return []
    zero = torch.zeros_like(named[0][1].flatten().double())
    rows = torch.stack([zero, *(t.detach().flatten().double() for _, t in named)])
    labels = ["", *(name for name, _ in named)]
    size, gram, found = rows.shape[1], rows @ rows.T, list[str]()
    lengths = gram.diagonal()[:, None] + gram.diagonal()[None] - 2 * gram
    # What is left of two equal tensors is rounding of the products above.
    lengths = lengths.where(lengths > 1e-10 * size, float("inf")).sqrt()
    for name, (secret, limit) in secrets.items():
        least = max(limit, min(0.99, 6 / size**0.5))
        for turned in (secret, secret.T) if secret.ndim == 2 else (secret,):
            flat = turned.detach().cpu().flatten().double()
            along = rows @ (flat / flat.norm())
            cosines = ((along[:, None] - along[None]) / lengths).abs().triu(1)
            for i, j in (cosines > least).nonzero().tolist():
                what = f"{labels[j]} - {labels[i]}" if i else labels[j]
                found.append(f"{what} has cosine {float(cosines[i, j]):.3f} with {name}")
    return found
