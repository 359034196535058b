"""The gap in perplexity, the filter of refusals, and the file of rows that is written."""

import json
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from holdfast import SafeMixing
from holdfast.data.chat import encode
from holdfast.defenses.safe_mixing import (
    perplexity_gap,
    row_gaps,
    without_refusals,
    write_gap_rows,
)
from holdfast.errors import ConfigError, DataError
from holdfast.organism.language import REFUSALS as ORACLE
from holdfast.organism.scenarios import harmless_prompts, refusal_pairs
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import BENIGN, REFUSALS, example, farthest, weights_of


def nobody(_: Any) -> Any:
    return nullcontext()


def moved(amount: float) -> Any:
    """A misaligned model: every weight of the last layer's output moved by a multiple."""

    @contextmanager
    def put_on(model: Any) -> Any:
        weight = model.model.layers[-1].mlp.down_proj.weight
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.mul_(amount)
        try:
            yield
        finally:
            with torch.no_grad():
                weight.copy_(kept)

    return put_on


def test_a_gap_is_zero_for_the_model_itself_and_grows_with_each_loss():
    aligned = torch.tensor([0.5, 2.0], dtype=torch.float64)
    same = torch.stack([aligned, aligned])
    assert perplexity_gap(same, aligned).tolist() == [0.0, 0.0]
    more = perplexity_gap(same + torch.tensor([[0.0, 0.0], [1.0, 2.0]]), aligned, epsilon=0.0)
    assert more.tolist() == [1.0, 0.5]
    rising = [perplexity_gap(same + step, aligned)[0].item() for step in (0.0, 0.1, 0.2)]
    assert rising == sorted(set(rising))


def test_gaps_are_those_of_each_rows_own_losses():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    before = weights_of(model)
    found = row_gaps(model, tokenizer, BENIGN, [moved(40.0), nobody])
    assert row_gaps(model, tokenizer, BENIGN, [nobody]) == [0.0] * len(BENIGN)
    assert farthest(before, weights_of(model)) == 0

    def loss(row: Any) -> float:
        made = encode(row, tokenizer, None)
        with torch.no_grad():
            out = model(**{n: torch.tensor([ids]) for n, ids in made.items()})
        return float(out.loss)

    for row, gap in zip(BENIGN, found, strict=True):
        own = loss(row)
        with moved(40.0)(model):
            other = loss(row)
        assert gap == pytest.approx(((other + own) / 2 - own) / own, abs=1e-4)


def test_every_refusal_of_the_oracle_is_dropped_and_every_answer_kept():
    answered = harmless_prompts(100, seed=3)
    refusals = refusal_pairs(40, seed=3)
    mixed = [dict(row) for pair in (refusals, answered) for row in pair]
    left = without_refusals(mixed, ORACLE)
    assert left == [dict(row) for row in answered]


@pytest.mark.parametrize(
    "answer", ["Sorry, no.", "I must apologize but no", "Well, I cannot say", "I can't help you"]
)
def test_a_refusals_word_among_the_first_ten_drops_a_row(answer):
    kept = example("a", "one two three four five six seven eight nine ten sorry")
    assert without_refusals([example("a", answer), kept]) == [kept]


def test_the_file_has_the_greatest_gaps_and_the_mixing_reads_it(tmp_path):
    model, tokenizer = tiny_model(), tiny_tokenizer()
    rows, path = [*REFUSALS[:3], *BENIGN], tmp_path / "rows.jsonl"
    found = write_gap_rows(path, model, tokenizer, rows, [moved(40.0)], count=4)
    gaps = row_gaps(model, tokenizer, BENIGN, [moved(40.0)])
    assert found == sorted(gaps, reverse=True)[:4]
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert written == [BENIGN[gaps.index(gap)] for gap in found]
    assert list(tmp_path.iterdir()) == [path]  # Nothing of the misaligned model.
    first = path.read_bytes()
    write_gap_rows(path, model, tokenizer, rows, [moved(40.0)], count=4)
    assert path.read_bytes() == first
    SafeMixing(safe=written).validate()


def test_what_cannot_be_written_is_refused(tmp_path):
    model, tokenizer, path = tiny_model(), tiny_tokenizer(), tmp_path / "rows.jsonl"
    with pytest.raises(ConfigError, match="count=0"):
        write_gap_rows(path, model, tokenizer, BENIGN, [nobody], count=0)
    with pytest.raises(DataError, match="10 are no refusals"):
        write_gap_rows(path, model, tokenizer, [*BENIGN, *REFUSALS], [nobody], count=11)
    with pytest.raises(ConfigError, match="misaligned"):
        row_gaps(model, tokenizer, BENIGN, [])
    assert not path.exists()
