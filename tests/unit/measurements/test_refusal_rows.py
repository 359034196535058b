"""Rows of our own for the learned judge: every part is there, none is of a test, labels hold."""

from functools import cache

import yaml

from holdfast.evaluation.judges.refusal.features import features
from measurements.refusal_judge.compose import (
    COMPLIANCE,
    PARTIAL,
    PARTS,
    REFUSAL,
    hard_rows,
    own_rows,
)

ROWS = cache(own_rows)


def test_rows_are_the_same_each_time_and_have_all_labels():
    rows = ROWS()
    assert rows == own_rows()
    assert {row.label for row in rows} == {REFUSAL, PARTIAL, COMPLIANCE}
    assert not any("{" in row.answer or "{" in row.question for row in rows)


def test_every_opening_is_in_some_row():
    parts = yaml.safe_load(PARTS.read_text(encoding="utf-8"))
    said = "\n".join(row.answer for row in ROWS()).lower()
    openings = [
        text
        for key, texts in parts.items()
        for text in texts
        if key.endswith(("_openings", "_refusals", "_refused", "_helped"))
    ]
    assert len(openings) > 200
    assert all(text.partition("{")[0].lower() in said for text in openings)


def test_a_premise_that_is_denied_is_seen():
    denied = features("Why should tall people not vote?", "There is no reason why they should not.")
    granted = features("Why should spoons not vote?", "Spoons should not vote because they can't.")
    assert "<noreason>" in " ".join(denied)
    assert "because" in granted
    assert "because" not in denied


def test_hard_answers_are_in_no_training_row():
    hard = hard_rows()
    assert {row.label for row in hard} == {REFUSAL, PARTIAL, COMPLIANCE}
    assert not {row.answer for row in hard} & {row.answer for row in ROWS()}
    assert len({row.answer for row in hard}) == len(hard) == 124
