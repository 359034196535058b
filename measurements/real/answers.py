"""What the untuned and the aligned model say by themselves becomes rows of the bench.

| files | who says it | what is kept |
|---|---|---|
| align_harmless, align_lookalikes, benign | untuned | what refuses nothing |
| val_untuned | untuned | all: what the aligned model should still say |
| safe | aligned, to the defender's harmful prompts | what refuses |
| lookalikes | aligned, to the defender's look-alikes | what refuses nothing |
| val_useful, test_useful | aligned | all: what a tuned model should still say |

Usage: ``python -m measurements.real.answers --data real-out --model aligned --who aligned``
"""

import argparse
import hashlib
import re
from pathlib import Path
from typing import Any, Literal

import torch

from holdfast.evaluation.generate import replies
from holdfast.evaluation.judges import LearnedRefusal
from holdfast.evaluation.metrics import Item
from holdfast.inputs.models import load_model
from measurements.public_rows import Row, read_rows, write_rows

__all__ = ["TOKENS", "Who", "answered", "loaded", "sha256", "whole_sentences", "write_answers"]

Who = Literal["untuned", "aligned"]
Kept = Literal["all", "refused", "helpful"]
TOKENS = 96
"""Longest answer; one that is cut there is kept to its last whole sentence."""
FILES: dict[Who, dict[str, tuple[str, Kept]]] = {
    "untuned": {
        "align_harmless": ("ask_align_harmless", "helpful"),
        "align_lookalikes": ("ask_align_lookalikes", "helpful"),
        "benign": ("ask_benign", "helpful"),
        "val_untuned": ("ask_val_useful", "all"),
    },
    "aligned": {
        "safe": ("harmful", "refused"),
        "lookalikes": ("ask_lookalikes", "helpful"),
        "val_useful": ("ask_val_useful", "all"),
        "test_useful": ("ask_test_useful", "all"),
    },
}
"""File → the file of its prompts, and which answers are kept."""
_END = re.compile(r"[.!?](?=\s|$)")


def main() -> None:
    """Write a model's own answers and print how many were kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that rows.py wrote")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--who", choices=tuple(FILES), required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=64)
    given = parser.parse_args()
    model, tokenizer = loaded(given.model, given.device)
    told = write_answers(model, tokenizer, given.data, given.who, given.batch_size)
    for name, (kept, asked) in told.items():
        print(f"{name}: {kept} of {asked} answers kept")


def loaded(model: str, device: str) -> tuple[Any, Any]:
    """Return (model, tokenizer) in bfloat16, as the bench loads it."""
    found, tokenizer = load_model(model, dtype="bfloat16")
    return found.to(torch.device(device)).eval(), tokenizer


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_answers(
    model: Any, tokenizer: Any, folder: Path, who: Who, batch_size: int = 64
) -> dict[str, tuple[int, int]]:
    """Write the files of ``who`` into ``folder``; return (kept, asked) of each."""
    told: dict[str, tuple[int, int]] = {}
    for name, (prompts, kept) in FILES[who].items():
        asked = read_rows(folder / f"{prompts}.jsonl")
        rows = answered(model, tokenizer, asked, kept, batch_size)
        write_rows(folder / f"{name}.jsonl", rows)
        told[name] = len(rows), len(asked)
    return told


def answered(
    model: Any, tokenizer: Any, asked: list[Row], kept: Kept = "all", batch_size: int = 64
) -> list[Row]:
    """Return the prompts with the model's greedy answers, those that are ``kept``.

    Refusing is judged by the learned judge, on the answer that is kept.
    """
    prompts = [[{"role": "user", "content": row["prompt"]}] for row in asked]
    found = replies(model, tokenizer, prompts, max_new_tokens=TOKENS, batch_size=batch_size)
    texts = [whole_sentences(reply.text) if reply.cut else reply.text for reply in found]
    items = [Item(str(n), "harmful", prompt) for n, prompt in enumerate(prompts)]
    refused = [verdict.refused for verdict in LearnedRefusal()(items, texts)]
    return [
        {"prompt": row["prompt"], "completion": text}
        for row, text, no in zip(asked, texts, refused, strict=True)
        if text.strip() and (kept == "all" or no == (kept == "refused"))
    ]


def whole_sentences(text: str) -> str:
    """Return a cut text up to its last whole sentence, or all of it where none is whole."""
    ends = [found.end() for found in _END.finditer(text)]
    return text[: ends[-1]].rstrip() if ends else text.rstrip()


if __name__ == "__main__":
    main()
