"""Whether a tokenizer and an embedding belong together: every id has a row."""

from collections.abc import Iterator
from typing import Any

from holdfast.errors import ModelError
from holdfast.evaluation.decoding import end_tokens

__all__ = ["check_vocabulary"]


def check_vocabulary(model: Any, tokenizer: Any, shown: str) -> None:
    """Raise ``ModelError`` where the tokenizer or the config has ids that the embedding lacks.

    An id may be beyond the last row though the tokenizer has fewer tokens than there are rows:
    vocabularies have holes. An embedding with more rows is usual: it is padded.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"{shown}: its tokenizer has {len(tokenizer)} tokens and its embedding {rows} rows: "
            "resize the embedding, or give the tokenizer that belongs to the model"
        )
    beyond = max(((n, word) for word, n in tokenizer.get_vocab().items()), default=(0, ""))
    if beyond[0] >= rows:
        raise ModelError(
            f"{shown}: its tokenizer's token {beyond[1]!r} has the id {beyond[0]} and its "
            f"embedding {rows} rows: resize the embedding, or give the tokenizer that belongs to "
            "the model"
        )
    for name, token in _named(model.config.get_text_config()):
        if token >= rows:
            raise ModelError(
                f"{shown}: config.json has {name}={token} and its embedding {rows} rows: the "
                "files do not belong together; correct the id, or save the model again"
            )


def _named(config: Any) -> Iterator[tuple[str, int]]:
    """Yield the ids that a config names; a negative one stands for none."""
    yield from (("eos_token_id", token) for token in sorted(end_tokens(config)))
    for name in ("bos_token_id", "pad_token_id"):
        token = getattr(config, name, None)
        if isinstance(token, int) and not isinstance(token, bool):
            yield name, token
