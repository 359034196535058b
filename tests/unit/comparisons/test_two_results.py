"""Two results side by side: what is paired, what cannot be, and what differs besides."""

import io
import re

import pytest
from rich.console import Console

from holdfast.comparisons.two_results import compare_results, load_result
from holdfast.errors import InputError
from holdfast.report.two_results import render_comparison
from holdfast.results.records import Arm
from holdfast.results.result import RunResult
from tests.unit.comparisons.test_worst_case import MILD, STRONG, arm, run


def result(*arms, **rest):
    return RunResult.of("bench", arms, model="organism", real_model=False, **rest)


def pair(ours, theirs, **rest):
    """A and B with one arm each, of these harmful scores (of ten) by seed."""
    return [
        result(Arm.of("swat", [run(s, hs, n=10) for s, hs in enumerate(scores)], attack=MILD,
                      scenario="harmful_mix", p=0.05), **rest)
        for scores in (ours, theirs)
    ]  # fmt: skip


def gap(found, figure="hs"):
    return next(g for m in found.matches for g in m.gaps if g.figure == figure)


def test_answers_pair_by_prompt_and_seed():
    a, b = pair([6, 7], [2, 4])
    found = gap(compare_results(a, b))
    assert found.paired_by == "prompts and seeds"
    assert found.difference.value == pytest.approx(-0.35)
    assert found.difference.low < -0.35 < found.difference.high
    assert (found.a.value, found.b.value) == (0.65, 0.3)


def test_without_answers_seeds_pair_and_the_interval_is_students():
    a, b = (each.without_answers() for each in pair([6, 7, 5], [2, 4, 4]))
    found = gap(compare_results(a, b))
    assert found.paired_by == "seeds"
    # Differences -4, -3, -1 of 10: mean -8/30, s = 0.152753, t(2) = 4.302653.
    assert found.difference.value == pytest.approx(-8 / 30)
    half = 4.302653 * 0.152753 / 3**0.5
    assert found.difference.low == pytest.approx(-8 / 30 - half, abs=1e-5)


def test_one_seed_or_no_spread_gives_no_interval_without_answers():
    for ours, theirs in (([6], [2]), ([6, 6], [2, 2])):
        a, b = (each.without_answers() for each in pair(ours, theirs))
        found = gap(compare_results(a, b))
        assert (found.paired_by, found.difference) == ("nothing", None)
        assert found.a.value == 0.6


@pytest.mark.parametrize("name", ["test questions, harmful_mix", "test_harmful", "evaluation"])
def test_other_questions_are_never_paired(name):
    a = result(arm("swat", MILD, 3))
    b = result(arm("swat", MILD, 5, prefix="other"))
    assert gap(compare_results(a, b)).paired_by == "nothing"
    names = {"name": name, "rows": 10}
    a, b = pair([6, 7, 5], [2, 4, 4])
    a = a.model_copy(update={"data": result(data=[{**names, "sha256": "a"}]).data})
    b = b.model_copy(update={"data": result(data=[{**names, "sha256": "b"}]).data})
    found = compare_results(a, b)
    assert gap(found).paired_by == "nothing"
    assert any("other questions" in warning for warning in found.warnings)


def test_other_judges_are_never_paired():
    a, b = pair([6, 7], [2, 4])
    (one,) = b.arms
    runs = [each.model_copy(update={"judge": "another"}) for each in one.runs]
    b = b.model_copy(update={"arms": [one.model_copy(update={"runs": runs})]})
    found = compare_results(a, b)
    assert gap(found).paired_by == "nothing"
    assert any("other judges" in warning for warning in found.warnings)


def decoded(one, **how):
    """The result with answers that were decoded so."""
    arms = [
        each.model_copy(
            update={"runs": [r.model_copy(update={"decoding": how}) for r in each.runs]}
        )
        for each in one.arms
    ]
    return one.model_copy(update={"arms": arms})


def test_answers_of_another_length_or_engine_are_told():
    a, b = pair([6, 7], [2, 4])
    plain = {"method": "greedy", "max_new_tokens": 16}
    for how, said in (
        ({**plain, "max_new_tokens": 256}, r"max_new_tokens 16 and 256\) in 1 arm"),
        ({**plain, "engine": "vllm 1"}, "engine unset and vllm 1"),
    ):
        found = compare_results(decoded(a, **plain), decoded(b, **how))
        assert any(re.search(said, warning) for warning in found.warnings), found.warnings
    for how in (plain, {}):
        found = compare_results(decoded(a, **plain), decoded(b, **how))
        assert not any("otherwise" in warning for warning in found.warnings)


def test_only_shared_seeds_are_paired_and_it_is_told():
    a, b = pair([6, 7, 1], [2, 4])
    found = compare_results(a, b)
    assert gap(found).difference.value == pytest.approx(-0.35)
    assert any("other seeds" in warning for warning in found.warnings)
    assert (found.matches[0].seeds_a, found.matches[0].seeds_b) == ([0, 1, 2], [0, 1])


def test_arms_match_by_defense_attack_and_settings():
    a = result(
        arm("none", MILD, 8), arm("none", STRONG, 9), arm("swat", MILD, 3),
        arm("panacea", MILD, 3, settings={"panacea": {"rho": 0.4}}),
    )  # fmt: skip
    b = result(
        arm("panacea", MILD, 3, settings={"panacea": {"rho": 0.5}}),
        arm("none", STRONG, 9), arm("none", MILD, 7), arm("ml_lr", MILD, 3),
    )  # fmt: skip
    found = compare_results(a, b)
    assert [(m.defense, m.where[:22]) for m in found.matches] == [
        ("none", "harmful mix: 5.0% harm"), ("none", "harmful mix: 30% harmf")
    ]  # fmt: skip
    assert [name.partition(" ")[0] for name in found.only_a + found.only_b] == ["swat", "ml_lr"]
    assert len(found.other_settings) == 1
    assert found.other_settings[0].endswith("panacea.rho 0.4 and 0.5")
    # The difference is B minus A of the same attack, whatever the order in the files.
    assert gap(found).difference.value == pytest.approx(-0.1)


def test_nothing_in_common_says_what_each_has():
    a, b = result(arm("swat", MILD, 3)), result(arm("ml_lr", MILD, 3))
    with pytest.raises(InputError, match=r"no arm in common: the first has swat .* ml_lr"):
        compare_results(a, b)
    b = result(arm("swat", MILD, 3, settings={"swat": {"tau": 0.1}}))
    with pytest.raises(InputError, match=r"other settings \(swat\.tau unset and 0\.1\)"):
        compare_results(a, b)
    with pytest.raises(InputError, match="no arm"):
        compare_results(result(), result())


def test_who_is_alone_is_told_in_a_readers_words():
    """It read "the first has none", which was plain fine-tuning."""
    a, b = result(arm("none", MILD, 3)), result(arm("before", MILD, 3))
    b = b.model_copy(update={"command": "evaluate"})
    with pytest.raises(InputError, match=r"has plain fine-tuning \(.*, the second the model"):
        compare_results(a, b)
    a, b = result(arm("swat", MILD, 3), arm("none", MILD, 3)), result(arm("swat", MILD, 3))
    assert compare_results(a, b).only_a[0].startswith("plain fine-tuning (")


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"model": "another"}, "other models: A is organism, B is another"),
        ({"versions": {"torch": "0"}}, "other versions: "),
        ({"data": []}, "B names no data"),
    ],
)
def test_what_differs_besides_is_told(update, said):
    row = {"name": "user", "sha256": "a", "rows": 3}
    a, b = pair([6, 7], [2, 4], data=[row])
    found = compare_results(a, b.model_copy(update=update))
    assert any(said in warning for warning in found.warnings), found.warnings


def test_other_training_rows_are_told_and_paired_all_the_same():
    a, b = pair([6, 7], [2, 4], data=[{"name": "user", "sha256": "a", "rows": 3}])
    moved = [b.data[0].model_copy(update={"sha256": "b"})]
    found = compare_results(a, b.model_copy(update={"data": moved}))
    assert any("other rows in user" in warning for warning in found.warnings)
    assert gap(found).difference is not None


def test_the_terminal_shows_differences_and_what_is_alone():
    a = result(arm("none", MILD, 8), arm("swat", MILD, 3))
    b = result(arm("none", MILD, 6), arm("ml_lr", MILD, 3))
    out = io.StringIO()
    Console(file=out, width=80).print(render_comparison(compare_results(a, b)))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for said in (
        "plain fine-tuning",
        "−20.0 [",
        "only in A: 1",
        "only in B: 1",
        "nothing is ranked",
    ):
        assert said in text


def test_a_folder_or_a_file_is_read_and_faults_are_named(tmp_path):
    a, _ = pair([6, 7], [2, 4])
    a.save(tmp_path / "result.json")
    assert load_result(tmp_path) == load_result(tmp_path / "result.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no result\.json"):
        load_result(tmp_path / "empty")
    with pytest.raises(InputError, match="cannot be read"):
        load_result(tmp_path / "nothing")
