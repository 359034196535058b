"""How the real bench's settings are chosen, and what of a cell new judges may change."""

import yaml

from holdfast.evaluation import Item
from holdfast.evaluation.fidelity import Kept
from holdfast.evaluation.judges import LearnedRefusal
from holdfast.evaluation.measure import judge_answers
from holdfast.results.records import SeedRun
from measurements.real.choose import (
    RECIPE,
    attacked,
    chosen,
    newcomers,
    with_arms,
    with_settings,
)
from measurements.real.rejudge import judged_again, same_but_judges


def row(spec, hs, fa=0.8, usefulness=0.8, over_refusal=0.1):
    defense = "none" if not spec else spec.partition(":")[0]
    figures = {"hs": hs, "fa": fa, "usefulness": usefulness, "over_refusal": over_refusal}
    return {"spec": spec, "defense": defense, **{k: str(v) for k, v in figures.items()}}


def test_the_least_harm_counts_only_where_task_and_usefulness_are_kept():
    rows = [row("", 1.0), row("m:a=1", 0.5), row("m:a=2", 0.1, fa=0.7), row("m:a=3", 0.4, fa=0.79)]
    assert chosen(rows) == {"m": "m:a=3"}


def test_where_nothing_keeps_both_the_one_that_loses_least_is_taken():
    rows = [row("", 1.0), row("m:a=1", 0.1, fa=0.5), row("m:a=2", 0.9, usefulness=0.7)]
    assert chosen(rows) == {"m": "m:a=2"}


def test_a_tie_goes_to_fewer_refusals_of_harmless_prompts():
    rows = [row("", 1.0), row("m:a=1", 0.1, over_refusal=0.6), row("m:a=2", 0.1)]
    assert chosen(rows) == {"m": "m:a=2"}


def test_combinations_and_what_did_not_run_choose_nothing():
    missing = {**row("m", 0.0), "hs": "", "fa": "", "usefulness": ""}
    assert chosen([row("", 1.0), missing, row("m + n", 0.0), row("before", 0.0)]) == {}


def test_a_chosen_setting_stands_wherever_its_method_is_an_arm():
    text = RECIPE.read_text(encoding="utf-8")
    assert with_settings(text, {}) == text
    told = yaml.safe_load(with_settings(text, {"panacea": "panacea:kappa=7", "swat": "swat:tau=1"}))
    arms = [*told["defenses"], *(a for sweep in told["sweeps"] for a in sweep["defenses"])]
    specs = [spec for arm in arms for spec in (arm if isinstance(arm, list) else [arm])]
    assert {s for s in specs if s.startswith("panacea")} == {"panacea:kappa=7"}
    assert {s for s in specs if s.startswith("swat")} == {"swat:tau=1"}


def test_the_best_methods_that_the_recipe_has_not_become_arms_and_the_best_pair():
    rows = [
        row("", 1.0), row("old:a=1", 0.0), row("m:a=1", 0.3), row("m:a=2", 0.2), row("n", 0.5),
        row("o", 0.0, fa=0.1), row("m:a=1 + n", 0.4), row("old:a=1 + n", 0.1),
    ]  # fmt: skip
    recipe = "defenses:\n  - none\n  - old:a=1\nsweeps:\n"
    assert newcomers(rows, recipe, 2) == ["m:a=2", "n", ["old:a=1", "n"]]
    assert newcomers(rows, recipe, 3)[2] == "o"  # What loses the task comes last.
    told = yaml.safe_load(with_arms(recipe, newcomers(rows, recipe, 1)))
    assert told["sweeps"] == [{"p": [0.1], "defenses": ["m:a=2", ["old:a=1", "n"]]}]
    assert with_arms(recipe, []) == recipe


def test_plain_tuning_at_another_rate_chooses_nothing():
    run = {"p": "0.1", "learning_rate": "5e-4", "steps": "57"}
    rows = [row(spec, 1.0) | run for spec in ("before", "", "m")]
    assert attacked([*rows, row("", 0.1) | run | {"learning_rate": "1e-4"}]) == rows


class AskedCell:
    """Stands in for a cell of a model in files."""

    def __init__(self, questions):
        self.questions, self.subject = questions, self
        self.name = "aligned"


def test_new_judges_change_verdicts_alone():
    asked = [({"role": "user", "content": text},) for text in ("How?", "What?")]
    items = [Item("h", "harmful", asked[0]), Item("u", "useful", asked[1])]
    old = judge_answers(items, ["Sure, like this.", "A thing."], LearnedRefusal())
    old = old.with_kept({"u": Kept(3, 0.5, 1.25)})
    run = SeedRun.of(4, old, seconds=2.0)
    again = judged_again(AskedCell(items), run)  # type: ignore[arg-type]
    assert again.shares == run.shares
    assert again.model_copy(update={"readings": []}).model_dump(exclude={"readings"}) == (
        run.model_dump(exclude={"readings"})
    )


def test_a_cell_is_told_by_all_but_its_judges_and_the_models_place():
    settings = {"seed": 1, "made_by": {"judges": ["a"], "model": "/x/m", "weights": "1"}}
    other = {"seed": 1, "made_by": {"judges": ["b"], "model": "m", "weights": "1"}}
    assert same_but_judges(settings) == same_but_judges(other)
    assert same_but_judges(settings) != same_but_judges({**settings, "seed": 2})
