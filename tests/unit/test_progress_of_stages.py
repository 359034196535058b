"""Work is counted from 0 to all of it, and a Trainer's own bars are joined where it has some."""

import pytest

from holdfast import RESTA, NaturalRepair, Panacea, RefusalSFT, repair
from holdfast.progress import Bars, counted, silent, ticking
from holdfast.testing.runs import FULL, new_trainer
from tests.tiny import tiny_examples, tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import BENIGN, HARMFUL, REFUSALS, lora


def test_a_stage_begins_at_0_and_tells_each_item_when_it_is_done():
    told: list[object] = []
    items = counted(lambda *step: told.append(step[1:3]), "stage", "ab")
    assert (next(items), told) == ("a", [(0, 2)])
    assert (next(items), told) == ("b", [(0, 2), (1, 2)])
    assert [*items] == []
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_what_stands_beside_a_count_is_passed_on():
    told: list[object] = []
    ticking(lambda *step: told.append(step), "stage", 1)("loss 2")
    assert told[-1] == ("stage", 1, 1, "loss 2")
    assert silent("stage", 1, 1) is None


def test_bars_are_drawn_by_stage(capfd):
    bars = Bars()
    for stage in ("one", "two"):
        for _ in counted(bars, stage, range(3)):
            pass
    bars("left", 1, 3, "loss 2")
    bars.close()
    err = capfd.readouterr().err
    assert "one: 100%" in err
    assert "two: 100%" in err
    assert "left:  33%" in err
    assert "loss 2" in err


def test_a_walk_of_several_places_tells_where_it_is():
    told: list[object] = []
    rows = {"harmful": HARMFUL, "safe": REFUSALS, "validation": BENIGN}
    free = {"length": 0.1, "max_task_drop": 1.0, "enough": None, "max_new_tokens": 2}
    walk = NaturalRepair(**rows, steps=2, per_step=1, **free)
    repair(walk, lora(tiny_model()), tiny_tokenizer(), progress=lambda *step: told.append(step[:3]))
    assert told[0] == ("rows that make the metric", 0, 1)
    assert told[1:] == [
        ("rows that make the metric", 1, 1),
        *[("natural_repair: places", n, 2) for n in range(3)],
    ]


@pytest.mark.parametrize(
    ("defense", "stage", "total"),
    [
        (RefusalSFT(harmful=HARMFUL, safe=REFUSALS, steps=3, lr=1e-4), "refusal_sft: steps", 3),
        (Panacea(harmful=HARMFUL, steps=2), "panacea: steps", 2),
    ],
)
def test_steps_after_training_tell_where_they_are(defense, stage, total):
    told: list[tuple[object, ...]] = []
    tuned = lora(tiny_model())
    repair(defense, tuned, tiny_tokenizer(), progress=lambda *step: told.append(step[:3]))
    assert [step for step in told if step[0] == stage] == [
        (stage, done, total) for done in range(total + 1)
    ]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_trainer_shows_its_defenses_where_it_shows_itself(capfd, hidden):
    resta = RESTA(harmful=tiny_examples(4), epochs=2, batch_size=2)
    new_trainer([resta], FULL, max_steps=1, disable_tqdm=hidden).train()
    assert ("resta: harmful direction: 100%" in capfd.readouterr().err) is not hidden


def test_who_asks_is_told_instead(capfd):
    told: list[object] = []
    resta = RESTA(harmful=tiny_examples(4), epochs=2, batch_size=2)
    trainer = new_trainer([resta], FULL, max_steps=1, disable_tqdm=False)
    trainer._holdfast.progress = lambda *step: told.append(step[:3])
    trainer.train()
    assert told == [("resta: harmful direction", n, 4) for n in range(5)]
    assert "harmful direction" not in capfd.readouterr().err
