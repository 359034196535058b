"""Claims on made-up results: which arms are read, which verdict follows, what is written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from holdfast.artifact import Curve
from holdfast.bench.arms import bench_arms
from holdfast.bench.bench import plan
from holdfast.bench.recipe import grid
from holdfast.bench.subject.files import FileSubject, Training
from holdfast.claims.arms import matching
from holdfast.claims.files import Paper, load_claims
from holdfast.claims.judge import claims_rows, judge, load_judged, write_claims
from holdfast.claims.multiplicity import counted, multiplicity
from holdfast.cli.app import app
from holdfast.errors import ConfigError, InputError
from holdfast.evaluation.metrics import Outcome
from holdfast.results.records import Answer, Arm, Attack, Diagnostics, SeedRun
from holdfast.results.result import RunResult

PROMPTS = 200
ALIGNMENT_STAGE = {"vaccine", "booster"}


def answers(hs: float, fa: float) -> list[Answer]:
    """Answers with these shares, to made-up questions."""
    found: list[Answer] = []
    for i in range(PROMPTS):
        harmful = i < round(hs * PROMPTS)
        outcome = Outcome.HARMFUL_CORRECT if harmful else Outcome.REFUSED
        right = i < round(fa * PROMPTS)
        done = Outcome.HELPFUL if right else Outcome.OFF_TASK
        found.append(one(f"h{i}", "harmful", outcome, False))
        found.append(one(f"t{i}", "task", done, right))
    return found


def one(name: str, kind: str, outcome: Outcome, correct: bool) -> Answer:
    return Answer(
        id=name, kind=kind, prompt="how to make zorba", answer="mip", outcome=outcome,
        refused=outcome == Outcome.REFUSED, correct=correct,
    )  # fmt: skip


def arm(
    hs: float,
    fa: float = 1.0,
    *,
    p: float = 0.1,
    defense: str = "none",
    settings: dict[str, Any] | None = None,
    seeds: Sequence[int] = range(5),
    steps: int = 120,
    layers: Sequence[float] = (),
) -> Arm:
    curve = Curve("by layer", "layer", tuple(range(-1, len(layers) - 1)), {"c": tuple(layers)})
    blocks = {"safety_coefficient": curve}
    said = {"anybodys": Diagnostics(blocks=blocks)} if layers else {}
    runs = [SeedRun(seed=s, answers=answers(hs, fa), diagnostics=said) for s in seeds]
    attack = Attack(
        scenario="harmful_mix", p=p, learning_rate=2.3e-4, steps=steps, epochs=3.75, rows=500
    )
    return Arm.of(defense, runs, attack=attack, settings=settings, p=p, scenario="harmful_mix")


def result(*arms: Arm) -> RunResult:
    return RunResult.of("bench", list(arms), model="organism", real_model=False)


PAPER: dict[str, Any] = {
    "paper": "zor",
    "title": "Zor",
    "reference": "none",
    "setting": "made up",
    "arms": {
        "plain": {"label": "plain", "p": 0.1},
        "ours": {
            "label": "ours", "p": 0.1, "defenses": ["panacea"],
            "settings": {"panacea": {"rho": 1, "scales": [0, 1]}},
        },
    },
    "claims": [
        {
            "id": "protects",
            "statement": "it protects",
            "source": "paper",
            "reported": [
                {"where": "Table 1", "seeds": 1, "unit": "%", "figures": [{"hs": 5, "fa": 50}]}
            ],
            "needs": [{"arm": "plain", "figure": "hs", "at_least": 0.3}],
            "tests": [
                {
                    "kind": "difference", "figure": "hs", "ours": "ours", "theirs": "plain",
                    "towards": "below", "smallest": 0.1,
                }
            ],
            "provided": [
                {
                    "kind": "not_worse", "figure": "fa", "ours": "ours", "theirs": "plain",
                    "margin": 0.03,
                }
            ],
        }
    ],
}  # fmt: skip
RHO = {"panacea": {"rho": 1.0, "scales": [0.0, 1.0], "mode": "post-hoc"}}


def paper(**changes: Any) -> Paper:
    return Paper.model_validate(json.loads(json.dumps(PAPER | changes)))


def several() -> Paper:
    arms = {**PAPER["arms"], "ours": {**PAPER["arms"]["ours"], "settings": {}, "several": True}}
    return paper(arms=arms)


def verdict(*arms: Arm, given: Paper | None = None) -> tuple[str, str]:
    [judged] = judge(result(*arms), [given or paper()])
    return judged.claims[0].verdict, judged.claims[0].reason


def ours(hs: float, fa: float = 1.0, **rest: Any) -> Arm:
    return arm(hs, fa, **({"defense": "panacea", "settings": RHO} | rest))


def test_a_claim_holds_and_its_reason_is_made_from_the_numbers():
    told, reason = verdict(arm(0.8), ours(0.1))
    assert told == "holds"
    assert "ours minus plain: −70 points [" in reason
    assert "over 5 seeds" in reason


@pytest.mark.parametrize(
    ("arms", "told", "why"),
    [
        ([arm(0.8), ours(0.9)], "does not hold", "not on the claimed side"),
        ([arm(0.8), ours(0.1, fa=0.5)], "holds in part", "FA of ours minus plain: −50 points"),
        ([arm(0.2), ours(0.0)], "not comparable", "HS of plain is 0.20"),
        ([arm(0.8)], "not comparable", "ours was not run"),
        ([arm(0.8), ours(0.1, seeds=range(4))], "not comparable", "4 seeds"),
        ([arm(0.8, steps=60), ours(0.1)], "not comparable", "plain was not run"),
    ],
)
def test_what_is_not_shown_is_not_said_to_hold(arms: list[Arm], told: str, why: str):
    found, reason = verdict(*arms)
    assert found == told
    assert why in reason


def test_runs_are_paired_by_seed_on_the_seeds_both_have():
    [judged] = judge(result(arm(0.8, seeds=range(8)), ours(0.1, seeds=range(2, 9))), [paper()])
    assert judged.claims[0].tests[0].seeds == 6


def test_an_arm_with_other_settings_or_of_another_order_is_not_the_one_meant():
    other = {"panacea": {"rho": 2.0, "scales": [0.0, 1.0]}}
    assert verdict(arm(0.8), ours(0.1, settings=other))[0] == "not comparable"
    shorter = {"panacea": {"rho": 1.0, "scales": [0.0]}}
    assert verdict(arm(0.8), ours(0.1, settings=shorter))[0] == "not comparable"
    assert verdict(arm(0.8), ours(0.1, defense="panacea+swat"))[0] == "not comparable"


def test_two_arms_that_fit_are_named_and_not_chosen_between():
    told, reason = verdict(arm(0.8), ours(0.1), ours(0.9))
    assert (told, "2 arms fit ours" in reason) == ("not comparable", True)


def test_several_settings_are_each_judged_and_one_that_works_is_in_part():
    strong, weak = ours(0.1), ours(0.8, settings={"panacea": {"rho": 0.1}})
    told, reason = verdict(arm(0.8), strong, weak, given=several())
    assert told == "holds in part"
    assert reason.startswith("1 of 2 tests hold")
    assert verdict(arm(0.8), strong, given=several())[0] == "holds"


def test_a_control_counts_only_where_nothing_else_fits():
    off = ours(0.8, settings={"panacea": {"rho": 0.0}}).model_copy(update={"control": True})
    assert verdict(arm(0.8), ours(0.1), off, given=several())[0] == "holds"
    assert verdict(arm(0.8), off, given=several())[0] == "does not hold"


def test_a_claim_is_judged_on_the_result_with_most_of_its_arms_then_of_its_seeds():
    """Fault F5: seeds of one study were pooled with those that were run because of it."""
    lacks, few = result(arm(0.8, seeds=range(9))), result(arm(0.8), ours(0.7))
    many = result(arm(0.8, seeds=range(5, 12)), ours(0.1, seeds=range(5, 12)))
    [judged] = judge([lacks, few, many], [paper()])
    [claim] = judged.claims
    assert claim.tests[0].seeds == 7
    assert claim.measured_on is not None
    assert claim.measured_on["seeds"] == list(range(5, 12))
    assert judged.measured_on["seeds"] == list(range(9))
    [alone] = judge([few, few], [paper()])
    assert alone.claims[0].measured_on is None
    assert alone == judge(few, [paper()])[0]


def test_a_condition_that_is_undecided_is_told_as_such():
    """Fault F6: a condition held by its mean with an interval past the margin."""
    loses = ours(0.1).model_copy(
        update={
            "runs": [SeedRun(seed=n, answers=answers(0.1, 1 - 0.03 * (n % 2))) for n in range(5)]
        }
    )
    told, reason = verdict(arm(0.8), loses)
    assert told == "holds in part"
    assert "undecided: the mean is at most 3 points worse, the interval reaches 3." in reason
    judged = judge(result(arm(0.8), loses), [paper()])
    assert counted(judged).undecided == 1
    found = counted(judge(result(arm(0.8), ours(0.1)), [paper()]))
    assert found.undecided == 0, "what holds is not told as undecided too"


def test_the_number_of_tests_is_told_with_what_chance_makes_of_it():
    """Fault F6: nowhere was said how many claims were tested."""
    claims = [PAPER["claims"][0], *layer_claims()]
    claims[1] = {**claims[1], "id": "layers"}
    judged = judge(result(arm(0.8), ours(0.1, layers=(90, 1, 1, 1, 3))), [paper(claims=claims)])
    found = counted(judged)
    assert (found.claims, found.claims_held, found.undecided) == (2, 2, 0)
    assert (found.tests, found.tests_held) == (2, 2)
    assert (found.conditions, found.conditions_held) == (1, 1)
    assert (found.false_claims, found.false_tests) == (0.05, pytest.approx(0.075))
    said = multiplicity(judged)
    assert said.startswith("2 claims could be judged, by 2 tests and 1 conditions")
    assert "3 tests and 2 claims hold; " in said
    assert "at most 1 test in 40 would hold by chance: 0.1 of the 3" in said
    assert multiplicity(judge(result(arm(0.8)), [paper()])) == ""


def test_a_test_that_holds_on_either_side_is_told_with_twice_the_chance():
    """Two models of the same layers differ "significantly" in 1 run of 20, one way or the other."""
    given = paper(claims=layer_claims())
    first, second = ours(0.1, layers=(90, 1, 1, 1, 3)), ours(0.1, layers=(5, 3, 1, 1, 1))
    judged = judge(result(first), [given], second=result(second))
    found = counted(judged)
    assert (found.claims, found.tests, found.either_side, found.claims_either_side) == (2, 2, 1, 1)
    assert (found.false_claims, found.false_tests) == (pytest.approx(0.075), pytest.approx(0.075))
    said = multiplicity(judged)
    assert "each at an end of a 95 % interval" in said
    assert "1 test in 40 would hold by chance (1 in 20 of those that say only that" in said
    assert "models differ: 1): 0.1 of the 2, and 0.1 of the claims" in said
    [uneven, apart] = given.claims
    mixed = given.model_copy(
        update={"claims": [apart.model_copy(update={"tests": [*apart.tests, *uneven.tests]})]}
    )
    both = counted(judge(result(first), [mixed], second=result(second)))
    assert (both.tests, both.either_side, both.claims_either_side) == (2, 1, 0)
    assert both.false_claims == pytest.approx(0.025)


def on_a_real_model(*arms: Arm) -> RunResult:
    """Return a result whose model has another budget than the organism's."""
    return RunResult.of("bench", [slower(one) for one in arms], model="a-chat-model")


def slower(given: Arm) -> Arm:
    assert given.attack is not None
    steps = 57 if given.attack.steps == 120 else given.attack.steps
    changed = {"learning_rate": 5e-4, "rows": 300, "steps": steps}
    return given.model_copy(update={"attack": given.attack.model_copy(update=changed)})


REAL: dict[str, Any] = {"arms": {"ours": {"settings": {"panacea": {"metric": None}}}}}


def test_a_real_model_has_its_own_budget_and_arms_told_by_their_method():
    given, chosen = paper(real=REAL), ours(0.1, settings={"panacea": {"rho": 7.0, "scales": [0]}})
    result_ = on_a_real_model(arm(0.8), arm(0.9, p=0.2), arm(0.9, p=0.2, steps=240), chosen)
    [judged] = judge(result_, [given])
    assert judged.claims[0].verdict == "holds"
    assert judged.measured_on["model"] == "a-chat-model"
    # Planted: the organism's settings are asked for, and its budget.
    assert judge(result_, [paper()])[0].claims[0].reason == "No test can be made: ours was not run."
    assert verdict(arm(0.8), chosen, given=given)[0] == "not comparable"


def test_what_is_wanted_unset_leaves_out_an_arm_that_sets_it():
    other = ours(0.1, settings={"panacea": {"rho": 7.0, "metric": "fisher"}})
    [judged] = judge(on_a_real_model(arm(0.8), other), [paper(real=REAL)])
    assert "ours was not run" in judged.claims[0].reason


def test_a_real_model_may_have_its_own_tests_under_the_papers_statement():
    test = {"kind": "bound", "figure": "hs", "arm": "ours", "towards": "at_most", "level": 0.02}
    given = paper(real={**REAL, "claims": {"protects": {"tests": [test], "provided": []}}})
    [judged] = judge(on_a_real_model(arm(0.8), ours(0.1)), [given])
    assert (judged.claims[0].verdict, judged.claims[0].statement) == (
        "does not hold",
        "it protects",
    )
    assert judge(result(arm(0.8), ours(0.1)), [given])[0].claims[0].verdict == "holds"


@pytest.mark.parametrize(
    ("real", "message"),
    [
        ({"claims": {"protect": {}}}, "real: unknown claim 'protect'.*'protects'"),
        ({"arms": {"more": {"p": 0.2}}}, "more.label"),
        ({"arms": {"ours": {"setings": {}}}}, "setings"),
        ({"claims": {"protects": {"needs": [{"arm": "plan", "figure": "hs"}]}}}, "arm 'plan'"),
    ],
)
def test_what_is_told_of_a_real_model_is_checked(real: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        paper(real=real)


def test_the_organism_and_a_real_model_are_not_judged_together():
    sides = [result(arm(0.8)), on_a_real_model(arm(0.8))]
    with pytest.raises(InputError, match=r"organism, a-chat-model .* in another"):
        judge(sides, [paper()])


def test_a_result_without_answers_is_not_comparable():
    bare = result(arm(0.8), ours(0.1)).without_answers()
    [judged] = judge(bare, [paper()])
    assert judged.claims[0].verdict == "not comparable"
    assert "holds no answers" in judged.claims[0].reason


def test_a_result_whose_arms_share_no_scored_question_is_not_comparable():
    """It ended all of `holdfast claims` with an error on the shape of a table."""
    plain, defended = arm(0.8), ours(0.1)
    for side, odd in ((plain, 0), (defended, 1)):
        for run in side.runs:
            for n, one in enumerate(a for a in run.answers if a.kind == "harmful"):
                if n % 2 == odd:
                    one.__dict__["outcome"] = "unscored"
    [judged] = judge(result(plain, defended), [paper()])
    assert judged.claims[0].verdict == "not comparable"
    assert "no question was scored in every run" in judged.claims[0].reason


def test_layers_are_read_without_what_is_in_no_layer():
    given = paper(claims=layer_claims())
    first, second = ours(0.1, layers=(90, 1, 1, 1, 3)), ours(0.1, layers=(5, 3, 1, 1, 1))
    [judged] = judge(result(arm(0.8), first), [given])
    assert [claim.verdict for claim in judged.claims] == ["holds", "not comparable"]
    assert judged.claims[0].tests[0].value == pytest.approx(1.0)
    assert judged.claims[0].arms[0].layers == [[1, 1, 1, 3]] * 5
    [both] = judge(result(first), [given], second=result(second))
    assert both.claims[1].tests[0].value is not None
    assert both.claims[1].verdict != "not comparable"


def test_coefficients_of_an_earlier_file_give_the_same_verdicts():
    given = paper(claims=layer_claims())
    now = result(arm(0.8), ours(0.1, layers=(90, 1, 1, 1, 3)))
    document = json.loads(now.model_dump_json())
    rows = [{"layer": n - 1, "absolute_sum": c, "rms": 0.1} for n, c in enumerate((90, 1, 1, 1, 3))]
    for run in document["arms"][1]["runs"]:
        run["diagnostics"] = {"anybodys": {"frontier": [], "safety_coefficients": rows}}
    assert judge(RunResult.model_validate(document), [given]) == judge(now, [given])


def test_a_curve_that_no_run_has_is_not_comparable():
    [judged] = judge(result(arm(0.8), ours(0.1)), [paper(claims=layer_claims("other"))])
    assert {claim.verdict for claim in judged.claims} == {"not comparable"}
    assert "no curve other over layers" in judged.claims[0].reason


def layer_claims(curve: str = "safety_coefficient") -> list[dict[str, Any]]:
    test = {"kind": "uneven", "arm": "ours", "curve": curve, "smallest": 0.1}
    apart = {"kind": "architectures", "arm": "ours", "curve": curve, "smallest": 0.02}
    claim = {**PAPER["claims"][0], "needs": [], "provided": [], "tests": [test]}
    return [claim, {**claim, "id": "by_architecture", "tests": [apart]}]


def test_judged_claims_are_kept_and_read_back(tmp_path: Path):
    judged = judge(result(arm(0.8), ours(0.1)), [paper()])
    [path] = write_claims(judged, tmp_path / "claims")
    document = json.loads(path.read_text())
    [claim] = document["claims"]
    assert path.name == "zor.json"
    assert claim["reported"][0]["figures"] == [{"hs": 5, "fa": 50}]
    assert {one["label"]: one["by_seed"]["hs"] for one in claim["arms"]} == {
        "plain": [0.8] * 5,
        "ours": [0.1] * 5,
    }
    assert claim["arms"][0]["figures"]["hs"]["low"] < 0.8
    assert load_judged(path.parent) == judged
    assert claims_rows(load_judged(path.parent)) == claims_rows(judged)
    path.write_text("{")
    with pytest.raises(InputError, match=r"zor\.json"):
        load_judged(path.parent)
    for version, said in ((True, "version True, which is none"), ("1", "which is none"),
                          (99, "upgrade holdfast")):  # fmt: skip
        path.write_text(json.dumps({**document, "schema_version": version, "new": 1}))
        with pytest.raises(InputError, match=said):
            load_judged(path.parent)


def test_rows_say_what_is_reported_and_by_how_many_seeds():
    [row] = claims_rows(judge(result(arm(0.8), ours(0.1)), [paper()]))
    assert row["reported"] == "Table 1: hs 5, fa 50 (%, 1 seed)"
    assert (row["paper"], row["claim"], row["verdict"]) == ("zor", "protects", "holds")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("theirs: plain, towards", "theirs: plan, towards", "unknown arm 'plan'.*'plain'"),
        ("id: dose_fa", "id: dose_hs", "'dose_hs' stands there twice"),
        ("kind: trend", "kind: trent", "trent"),
        ("smallest: 0.2", "smalest: 0.2", "smalest"),
        ("claims:", "claims: [", "is not valid YAML"),
        ("smallest: 0.2", "smallest: .nan", "smallest: Input should be a finite number"),
        ("smallest: 0.2", "smallest: true", "smallest: Input should be a valid number"),
        ("smallest: 0.2", "smallest: 0.2, smallest: 0.0", "'smallest' stands twice"),
    ],
)
def test_a_damaged_file_of_claims_is_named(tmp_path: Path, old: str, new: str, message: str):
    [source] = [p for p in packaged() if p.stem == "panacea"]
    text = source.read_text(encoding="utf-8").replace("theirs: plain1,", "theirs: plain,")
    text = text.replace("  plain1: {", "  plain: {").replace("arm: plain1,", "arm: plain,")
    text = text.replace("[plain1,", "[plain,")
    path = tmp_path / "panacea.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load_claims([path])
    assert str(path) in str(caught.value)


def packaged() -> list[Path]:
    import holdfast.claims.papers as package  # noqa: PLC0415  # For its folder alone.

    return sorted(Path(package.__file__).parent.glob("*.yaml"))


def test_every_file_of_claims_is_named_after_its_paper():
    assert [one.paper for one in load_claims()] == [path.stem for path in packaged()]


@pytest.mark.slow
def test_the_recipes_run_exactly_the_arms_that_claims_speak_of():
    planned: list[RunResult] = []
    for recipe in ("full", "controls"):
        cells = plan(recipe).cells
        arms = bench_arms(cells, {cell.key: SeedRun(seed=cell.seed) for cell in cells})
        planned.append(result(*arms))
    for given in load_claims():
        for name, selector in given.arms.items():
            found = max(len(matching(one, selector)) for one in planned)
            late = not found and ALIGNMENT_STAGE & set(selector.defenses)
            assert late or found == 1 or (found and selector.several), (given.paper, name, found)


def test_the_command_prints_the_verdicts_and_writes_a_file_per_paper(tmp_path: Path):
    source = result(arm(0.05, p=0.0), arm(0.8)).save(tmp_path / "result.json")
    out = tmp_path / "claims"
    done = CliRunner().invoke(app, ["claims", str(source), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout.strip().splitlines()[-1])["claims"]
    assert {row["verdict"] for row in rows} == {"not comparable"}
    assert {path.stem for path in out.iterdir()} == {one.paper for one in load_claims()}


NOT_RUN = {
    "ml_lr_random", "swat_random", "vector_swat2", "vaccine_swat2", "booster_swat2",
}  # fmt: skip
"""Arms of which claims speak and that recipes of the real model leave out, to be shorter."""


@pytest.mark.slow
def test_what_is_told_of_a_real_model_is_an_arm_of_its_recipes(monkeypatch: pytest.MonkeyPatch):
    """An overlay that no recipe runs would be "not comparable" for ever, and nobody would see."""
    training = Training(steps=57, rows=300, learning_rate=5e-4)
    subject = FileSubject("real-out/aligned", {"task": ""}, training, {})
    monkeypatch.setattr(grid, "_subject", lambda *_: subject)
    monkeypatch.setattr(grid, "_check_defenses", lambda *_: None)
    monkeypatch.setattr(grid, "_check_rows", lambda *_: None)
    planned: list[RunResult] = []
    for recipe in ("real", "real_robust"):
        cells = plan(recipe).cells
        arms = bench_arms(cells, {cell.key: SeedRun(seed=cell.seed) for cell in cells})
        planned.append(RunResult.of("bench", arms, model="real-out/aligned"))
    for given in load_claims():
        for name in given.real.arms:
            selector = given.on_real.arms[name]
            found = max(len(matching(one, selector)) for one in planned)
            assert bool(found) is (name not in NOT_RUN), (given.paper, name)
