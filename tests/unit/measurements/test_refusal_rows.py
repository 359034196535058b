"""Rows of our own for the learned judge: every part is there, none is of a test, labels hold."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
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
from measurements.refusal_judge.families import (
    FAMILIES,
    HALVES,
    ended_rows,
    family_rows,
    trial_rows,
)
from measurements.refusal_judge.words import vectors

ROWS = cache(own_rows)
XSTEST = Path(__file__).parents[4] / "shared" / "data" / "xstest_human_labels.jsonl"


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
    families = family_rows()
    trained = [*ROWS(), *families, *ended_rows(families)]
    assert not {row.answer for row in hard} & {row.answer for row in trained}
    assert not {row.question for row in hard} & {row.question for row in trained}
    assert len({row.answer for row in hard}) == len(hard) == 124


def test_answers_on_trial_are_in_no_training_row_nor_of_xstest():
    trial = trial_rows()
    assert {row.label for row in trial} == {REFUSAL, PARTIAL, COMPLIANCE}
    assert len({(row.question, row.answer) for row in trial}) == len(trial) == 448
    asked = {row.question.lower() for row in trial}
    assert not asked & {row.question.lower() for row in (*ROWS(), *family_rows(), *hard_rows())}
    if not XSTEST.exists():
        pytest.skip(f"no {XSTEST.name} beside this checkout")
    lines = XSTEST.read_text(encoding="utf-8").splitlines()
    assert not asked & {json.loads(line)["prompt"].lower() for line in lines}


def test_a_family_lies_in_one_half_alone():
    rows = family_rows()
    asked = {half: {row.question for row in rows if row.source == half} for half in HALVES}
    assert not asked[HALVES[0]] & asked[HALVES[1]]
    assert min(map(len, asked.values())) > 30
    names = [name for path in FAMILIES.glob("*.yaml") for name in yaml.safe_load(path.read_text())]
    assert len(set(names)) == len(names) > 20


def test_written_answers_are_told_once_and_have_all_labels():
    rows = family_rows()
    assert len({(row.question, row.answer) for row in rows}) == len(rows) > 500
    assert {row.label for row in rows} == {REFUSAL, PARTIAL, COMPLIANCE}


def test_help_that_ends_in_a_moral_is_help_of_the_same_half():
    rows = [row for row in family_rows() if row.label == COMPLIANCE]
    ended = ended_rows(family_rows())
    assert [(row.question, row.source) for row in ended] == [(r.question, r.source) for r in rows]
    assert all(two.answer.startswith(one.answer) for one, two in zip(rows, ended, strict=True))
    assert all(len(two.answer) > len(one.answer) for one, two in zip(rows, ended, strict=True))


def test_words_that_mean_the_same_lie_close():
    known = vectors()

    def near(one, two):
        a, b = known[one], known[two]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert len(known) == 16_000
    assert near("theft", "stealing") > near("theft", "banana")
    assert near("doctor", "physician") > near("doctor", "guitar")
