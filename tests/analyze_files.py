"""A tiny model and prompts for ``holdfast analyze``; every word is invented or a number."""

import json
from pathlib import Path

from tests.tiny import WORDS, tiny_model, tiny_tokenizer

ANALYZE = [
    "analyze", "--model", "model", "--harmful", "harmful.jsonl", "--benign", "benign.csv",
    "--output", "out",
]  # fmt: skip
EXACT = [*ANALYZE, "--method", "noise", "--seeds", "2", "--rho", "0.3"]


def harmful(n: int = 24) -> list[str]:
    made = WORDS[-16:]
    return [f"how to make a {made[i % 16]} {made[(i // 16 + i) % 16]} no" for i in range(n)]


def benign(n: int = 24) -> list[str]:
    return [f"what is {i % 10} plus {i // 10} please" for i in range(n)]


def write_place(folder: Path, arch: str = "llama") -> None:
    """Write ``model``, and the prompts without any answer."""
    tiny_model(arch).save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    rows = [json.dumps({"prompt": text}) for text in harmful()]
    (folder / "harmful.jsonl").write_text("\n".join([*rows, ""]))
    (folder / "benign.csv").write_text("\n".join(["question", *benign(), ""]))
