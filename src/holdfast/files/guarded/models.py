"""A model's folder from a stranger: which files hold its weights, and which sizes fit them.

transformers reads the files that an index or the config names, whatever they are, and builds the
layers that the config counts, however many.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from holdfast.errors import ModelError
from holdfast.files.guarded.documents import json_in

__all__ = [
    "INDEX", "WHOLE", "check_loaded_by", "check_sizes", "config_in", "refuse_pickled_weights",
    "shapes_in", "weight_files",
]  # fmt: skip

WHOLE, INDEX, SUFFIX = "model.safetensors", "model.safetensors.index.json", ".safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_WEIGHTS = re.compile(r"(pytorch_|adapter_)?model(-\d+-of-\d+)?\.")
OWN_PICKLES = {"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"}
COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_experts",
          "num_local_experts", "n_routed_experts")  # fmt: skip
"""What a config counts and has at least one tensor for, or one row of a stacked one."""
WIDTHS = ("vocab_size", "hidden_size", "intermediate_size", "ffn_dim", "n_embd", "d_model",
          "num_attention_heads", "num_key_value_heads", "n_head", "head_dim")  # fmt: skip
"""What a config measures and no tensor is narrower than in its widest direction."""
UNUSED, MOST_UNUSED = ("intermediate_size", "ffn_dim"), 2**20
"""Widths that no layer of a mixture of experts may have, and how large they can be there."""


def config_in(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return the JSON object in a file of a model's folder.

    Raises:
        ModelError: It cannot be read, or is no object.
    """
    path = folder / name
    try:
        config = json_in(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: is not valid JSON ({error}): save the model again") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: is not a JSON object: save the model again")
    return config


def weight_files(folder: Path, shown: str) -> list[Path]:
    """Return the files of a model folder that hold its weights, all of them safetensors.

    Raises:
        ModelError: There are none, or the index or the config names something else: a pickle, a
            file elsewhere or one that is missing.
    """
    own = config_in(folder).get("transformers_weights")
    if own not in (None, WHOLE, INDEX):
        raise ModelError(
            f"{shown}: config.json names a file of weights of its own (transformers_weights="
            f"{own!r}): remove that line, and keep the weights in {WHOLE}"
        )
    if own != INDEX and (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if (folder / INDEX).is_file():
        return list(_indexed(folder, shown))
    pickles = {f.name for f in folder.iterdir() if f.suffix in PICKLES} - OWN_PICKLES
    if pickles:
        raise ModelError(
            f"{shown}: has {min(pickles)}, a pickle that can run code when it is read: "
            "convert it to safetensors (model.save_pretrained on a machine that trusts it)"
        )
    raise ModelError(f"{shown}: has no weights: expected {WHOLE}, or shards and {INDEX}")


def _indexed(folder: Path, shown: str) -> Iterator[Path]:
    """Yield the shards that the index names."""
    shards = config_in(folder, INDEX).get("weight_map")
    if not isinstance(shards, Mapping) or not shards:
        raise ModelError(f"{shown}: {INDEX} has no weight_map: save the model again")
    for name in sorted({str(shard) for shard in shards.values()}):
        if not name.endswith(SUFFIX):
            raise ModelError(
                f"{shown}: {INDEX} names {name!r}, which is no safetensors file and may be a "
                "pickle that runs code when it is read: convert it to safetensors"
            )
        if "/" in name or "\\" in name or not (folder / name).is_file():
            raise ModelError(f"{shown}: {INDEX} names {name!r}, which is not in the folder")
        yield folder / name


def check_loaded_by(folder: Path, shown: str) -> None:
    """Raise ``ModelError`` where transformers loads by an index without an object of metadata.

    It writes in there. Weights that are read tensor by tensor do without it.
    """
    by_index = [file.name for file in weight_files(folder, shown)] != [WHOLE]
    if by_index and not isinstance(config_in(folder, INDEX).get("metadata"), dict):
        raise ModelError(
            f"{shown}: {INDEX} has no object under metadata, and transformers cannot load it so: "
            'write "metadata": {} there, or save the model again'
        )


def refuse_pickled_weights(folder: Path, shown: str) -> None:
    """Raise ``ModelError`` where weights in a checkpoint's folder are a pickle.

    A trainer that goes on from it reads them where it finds no safetensors. Its own state beside
    them (optimizer, schedule, random numbers) is read with ``weights_only``.
    """
    files = [*folder.glob("*"), *folder.glob("*/*")]  # Adapters lie in folders of their own.
    strange = sorted(f.name for f in files if f.suffix in PICKLES and _WEIGHTS.match(f.name))
    if strange:
        raise ModelError(
            f"{shown}: has {strange[0]}, a pickle that can run code when it is read: "
            "a checkpoint of holdfast has none; go on from another one, or start anew"
        )


def check_sizes(folder: Path, shown: str) -> None:
    """Raise ``ModelError`` where the config counts or measures more than the weights can hold.

    A model of ten million layers would take hours to build before a weight is found missing.
    """
    config = config_in(folder)
    if config.get("quantization_config"):
        return  # Packed tensors are narrower than what they stand for.
    shapes = list(_shapes(weight_files(folder, shown)))
    if not shapes:
        return
    widest = max((max(shape, default=1) for shape in shapes), default=1)
    sizes = list(_sizes(config))
    mixture = any("experts" in name for name, _ in sizes)
    for name, value in sizes:
        most = max(len(shapes), widest if "experts" in name else 0) if name in COUNTS else widest
        most = max(most, MOST_UNUSED) if mixture and name in UNUSED else most
        if isinstance(value, bool) or not isinstance(value, int):
            raise ModelError(f"{shown}: config.json has {name}={value!r}: expected a whole number")
        if value > most or value < 0:
            raise ModelError(
                f"{shown}: config.json has {name}={value} and its weights have {len(shapes)} "
                f"tensors of at most {widest} rows or columns: the files do not belong together"
            )


def _sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the sizes that are given, also those of the model of text inside another one."""
    for name, value in config.items():
        if name in (*COUNTS, *WIDTHS) and value is not None and not isinstance(value, list):
            yield name, value
        elif name == "text_config" and isinstance(value, Mapping):
            yield from _sizes(value)


def _shapes(files: list[Path]) -> Iterator[tuple[int, ...]]:
    """Yield the shapes in the files' heads; who loads a file tells what is wrong with it."""
    for file in files:
        try:
            yield from shapes_in(file).values()
        except (SafetensorError, OSError):
            return


def shapes_in(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a safetensors file, by the file's head.

    Raises:
        SafetensorError: It is no such file, or is cut.
        OSError: It cannot be read.
    """
    with safe_open(file, framework="pt") as opened:
        return {
            name: tuple(opened.get_slice(name).get_shape())
            for name in opened.keys()  # noqa: SIM118  # It is no mapping.
        }
