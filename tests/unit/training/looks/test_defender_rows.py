"""What the trainer's preparation leaves of the defenders' rows is counted, named and told."""

import pytest
from datasets import Dataset

from holdfast import Lisa, Panacea, SafeMixing, SecurityVectors, repair
from holdfast.defenses.security_vectors.gate import measure_gate
from holdfast.errors import DataError
from holdfast.ops.agreement import agreement
from holdfast.ops.engine import LocalEngine
from holdfast.ops.low_rank import LowRank
from holdfast.testing.runs import FULL, SFT_LORA, new_trainer, tiny_model, tokenizer
from tests.contract.recipes import data_rows
from tests.contract.settings import CONTRACT_SETTINGS


def longer(rows, which, more=60):
    """The rows with a prompt so long, in some, that its answer is cut off."""
    made = [dict(row) for row in rows]
    for i in which:
        [ask] = made[i]["prompt"]
        made[i]["prompt"] = [{**ask, "content": ask["content"] + " please" * more}]
    return Dataset.from_list(made)


def trainer_of(defense, **options):
    trainer = new_trainer([defense], SFT_LORA, max_length=48, **options)
    said = []
    trainer.say = said.append
    return trainer, said


EVERY = {
    "panacea": lambda rows: Panacea(harmful=rows, batch_size=3),
    "validation": lambda rows: Panacea(harmful=data_rows(), validation=rows),
    "vectors": lambda rows: SecurityVectors(
        harmful=rows, benign=data_rows(), **CONTRACT_SETTINGS["security_vectors"]["auto"]
    ),
    "lisa": lambda rows: Lisa(alignment=rows, alignment_steps=1, user_steps=2),
    "mixing": lambda rows: SafeMixing(safe=rows, share=0.5),
}


@pytest.mark.parametrize("kind", EVERY)
def test_a_data_set_of_which_nothing_is_left_is_refused_before_step_0(kind):
    """Fault B10: rows that max_length drops were not there, and nobody said so."""
    defense = EVERY[kind](longer(data_rows(), range(6)))
    field = next(name for name in defense.card.data if len(str(getattr(defense, name)[0])) > 300)
    wanted = rf"{defense.card.name}:? `{field}`: of 6 rows.* none keeps a token .*max_length=48"
    with pytest.raises(DataError, match=wanted):
        trainer_of(defense)


def test_an_empty_held_out_set_is_refused():
    """Fault B10: the gate passed with 0.0 → 0.0 where every held-out row was dropped."""
    rows = longer(data_rows(), [5])  # The one row that is held out.
    defense = SecurityVectors(
        harmful=rows, benign=data_rows(), **CONTRACT_SETTINGS["security_vectors"]["auto"]
    )
    trainer, _ = trainer_of(defense)
    with pytest.raises(DataError, match="security_vectors `harmful`: of 1 rows"):
        trainer.train()
    assert trainer.state.global_step == 0


@pytest.mark.parametrize("kind", ["panacea", "lisa", "vectors"])
def test_dropped_and_cut_rows_are_counted_named_and_told(kind):
    """Fault B10: dropped and cut rows of the defender were silent."""
    rows = longer(longer(data_rows(), [1, 3]), [2], more=20)
    trainer, said = trainer_of(EVERY[kind](rows))
    trainer.train()
    name, field = trainer.defenses[0].card.name, trainer.defenses[0].card.data[0]
    told = [line for line in said if line.startswith(f"{name} `{field}`: 2 of 6 rows are dropped")]
    assert len(told) == 1, said
    assert "rows 2, 4" in told[0]
    wanted = {"defense": name, "hook": f"{field}: rows dropped", "calls": 2}
    assert any(wanted.items() <= row.items() for row in trainer.trace.rows())


def test_a_cut_row_is_told_and_keeps_what_is_left():
    """Fault B10: a row cut inside its answer was silent too."""
    rows = [dict(row) for row in data_rows()]
    rows[4]["completion"] = [{"role": "assistant", "content": "please " * 60}]
    trainer, said = trainer_of(Panacea(harmful=Dataset.from_list(rows)))
    trainer.train()
    assert any("panacea `harmful`: 1 of 6 rows are cut" in s and "row 5" in s for s in said)


def test_nothing_is_said_of_rows_that_stay_whole():
    trainer, said = trainer_of(Panacea(harmful=data_rows()), max_steps=1)
    trainer.train()
    assert not [line for line in said if "rows are" in line]
    assert not [hook for _, hook in trainer.trace.counts if "rows" in hook]


def test_a_repair_names_the_field_of_a_row_that_is_too_long():
    """Fault B10: the error said "row 2" of no file or field."""
    with pytest.raises(DataError, match=r"panacea `harmful`: row 2: has .* tokens"):
        repair(Panacea(harmful=longer(data_rows(), [1], 200)), tiny_model(), tokenizer())


def test_a_gate_and_a_gradient_of_nothing_are_errors():
    """Fault B10: a loss of no token was 0, which every gate passes."""
    engine = LocalEngine(tiny_model())
    with pytest.raises(DataError, match="without an answer token"):
        measure_gate(engine, LowRank(), [], [])
    with pytest.raises(DataError, match="without an answer token"):
        agreement(engine, [])
    with pytest.raises(DataError, match="on no rows"):
        engine.gradients([])


def test_tokens_without_an_answer_are_left_out():
    """Fault B10: tokenized rows without a label made the loss NaN and counted as exact."""
    rows = [{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}] * 3
    rows.append({"input_ids": [1, 2, 3], "labels": [-100] * 3})
    trainer = new_trainer([Panacea(harmful=rows, batch_size=1)], FULL)
    trainer.train()
    counts = {hook: count.calls for (_, hook), count in trainer.trace.counts.items()}
    assert counts["harmful: rows dropped"] == 1
