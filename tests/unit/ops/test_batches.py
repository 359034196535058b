"""A batch of many tokens goes through a model in parts, and what comes of it is the same."""

import pytest
import torch
from torch import Tensor

from holdfast.ops.agreement import agreement
from holdfast.ops.batches import MOST_TOKENS, parts_of
from holdfast.ops.engine import LocalEngine
from holdfast.ops.fisher import mean_squared_gradients
from tests.tiny import tiny_model

WIDTH = 16


def ragged(rows: int = 9, width: int = WIDTH) -> dict[str, Tensor]:
    """Rows with 1, 2, 3, … answer tokens, so that shares of rows are not shares of tokens."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 40, (rows, width), generator=draw)
    labels = ids.clone()
    for row in range(rows):
        labels[row, : width - 1 - row % (width - 2)] = -100
    return {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Parts of three rows; the tokens of every pass are noted."""
    seen: list[int] = []
    plain = LocalEngine.forward

    def forward(self, batch):
        seen.append(batch["input_ids"].numel())
        return plain(self, batch)

    monkeypatch.setattr("holdfast.ops.engine.parts_of", lambda b: parts_of(b, 3 * WIDTH))
    monkeypatch.setattr(LocalEngine, "forward", forward)
    return seen


def test_shares_are_of_answer_tokens_and_rows_stay_in_order():
    batch = ragged()
    found = [*parts_of(batch, 4 * WIDTH + 3)]
    counts = [int((part["labels"][:, 1:] != -100).sum()) for _, part in found]
    assert [len(part["input_ids"]) for _, part in found] == [4, 4, 1]
    assert [share for share, _ in found] == [count / sum(counts) for count in counts]
    assert torch.equal(torch.cat([part["labels"] for _, part in found]), batch["labels"])


@pytest.mark.parametrize(
    "whole",
    [
        ragged(2),
        {**ragged(), "position_ids": torch.arange(WIDTH)[None]},
        {**ragged(), "max_length_q": 4},
        {**ragged(), "labels": torch.full((9, WIDTH), -100)},
    ],
)
def test_what_is_small_or_cannot_be_cut_comes_as_it_is(whole):
    ((share, part),) = parts_of(whole, 2 * WIDTH)
    assert share == 1.0
    assert part is whole


def test_gradient_loss_and_metric_are_those_of_the_whole_batch(small):
    engine, batch = LocalEngine(tiny_model()), ragged()
    cut, value = engine.gradients([batch, ragged(2)])
    fisher, measured = mean_squared_gradients(engine, [batch]), agreement(engine, [batch])
    assert small
    assert max(small) <= 3 * WIDTH
    small.clear()
    whole, same = engine.gradients([batch, ragged(2)], engine.loss)
    assert max(small) == 9 * WIDTH
    assert value == pytest.approx(same, rel=1e-6)
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-4, atol=1e-7)
    loss = torch.nn.functional.cross_entropy(
        engine.forward(batch).logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten()
    )
    assert measured[0] == pytest.approx(loss.item(), rel=1e-5)
    rows = [{name: t[i : i + 1] for name, t in batch.items()} for i in range(9)]
    squares = [engine.gradients([row])[0] for row in rows]
    for name, found in fisher.items():
        torch.testing.assert_close(
            found, sum(s[name] ** 2 for s in squares) / 9, rtol=1e-3, atol=1e-10
        )


def test_several_processes_take_as_many_passes(small):
    engine = LocalEngine(tiny_model())
    engine.world = 2
    engine.gradients([ragged()])
    assert small == [9 * WIDTH]


def test_a_usual_batch_is_not_cut():
    batch = ragged(16, MOST_TOKENS // 16)
    assert [part is batch for _, part in parts_of(batch)] == [True]
