"""The message of a loss that is no number."""

import pytest
import torch

from holdfast.training.divergence import diverged

ROWS = [{"input_ids": [5, 6]}, {"input_ids": [7, 8, 9]}, {"input_ids": [5, 6]}, {"text": "x"}]


def batch(*rows, width=4):
    ids = torch.tensor([[*r, *[0] * (width - len(r))] for r in rows])
    mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows])
    return {"input_ids": ids, "attention_mask": mask}


def test_step_and_rows_are_named_twins_included():
    error = diverged(7, batch([7, 8, 9]), ROWS)
    assert "at step 7, rows 2 of the training set" in str(error)
    assert "rows 1, 3 of the training set" in str(diverged(7, batch([5, 6]), ROWS))


def test_left_padding_is_no_obstacle():
    given = {k: v.flip(1) for k, v in batch([6, 5]).items()}
    assert "rows 1, 3" in str(diverged(0, given, ROWS))


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (batch([1, 1]), ROWS),
        ({"input_ids": torch.ones(1, 2)}, ROWS),
        ({}, ROWS),
        (batch([5, 6]), iter(ROWS)),
    ],
)
def test_unknown_rows_are_said_to_be_unknown(given, rows):
    assert "rows unknown" in str(diverged(0, given, rows))


def test_the_message_is_one_line_and_says_what_to_do():
    text = str(diverged(0, {}, None))
    assert "\n" not in text
    assert "lower the learning rate" in text
