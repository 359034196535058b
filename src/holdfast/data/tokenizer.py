"""A model's tokenizer, as its folder declares it."""

from pathlib import Path
from typing import Any

from holdfast.files.guarded.documents import json_in

__all__ = ["load_tokenizer"]

_GENERIC = {"PreTrainedTokenizerFast", "TokenizersBackend"}
"""Classes that read ``tokenizer.json`` as it is."""


def load_tokenizer(name: str | Path, **options: Any) -> Any:
    """Return the tokenizer of a folder or hub id; ``options`` are ``from_pretrained``'s.

    ``AutoTokenizer`` of transformers 5 reads every folder of some architectures (Qwen2 is one) with
    that architecture's own class, whatever the folder declares: words of another vocabulary then
    come out as other ids, without an error. A folder that declares the generic class is read by it.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast  # noqa: PLC0415  # Slow.

    generic = _declared(Path(name)) in _GENERIC
    kind: Any = PreTrainedTokenizerFast if generic else AutoTokenizer
    return kind.from_pretrained(name, **options)


def _declared(folder: Path) -> str | None:
    """Return the class that the folder's ``tokenizer_config.json`` names."""
    try:
        config = json_in(folder / "tokenizer_config.json")
    except (OSError, ValueError):
        return None  # Whoever loads it says what is wrong.
    return config.get("tokenizer_class") if isinstance(config, dict) else None
