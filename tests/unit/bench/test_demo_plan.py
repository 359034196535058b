"""The demo's plan: which track runs where, and how its runs become arms."""

import pytest

from holdfast.bench.demo import arms_of, demo_tasks
from holdfast.bench.demo_plan import BENIGN, HARMFUL_MIX, SCENARIOS, DemoConfig, Task, data_sources
from holdfast.bench.tracks import TRACKS, arm_order, run_task
from holdfast.results.records import SeedRun


@pytest.fixture
def tasks(tmp_path):
    return demo_tasks([0, 1], DemoConfig(items_per_kind=4), tmp_path / "robust_modules.json")


def test_every_scenario_has_its_tracks_for_each_seed_and_one_look_before(tasks):
    for scenario in SCENARIOS:
        here = [t for t in tasks if t.scenario == scenario]
        assert [t.track for t in here].count("before") == 1
        for track in TRACKS[scenario]:
            assert [t.seed for t in here if t.track == track] == [0, 1]


def test_only_the_harmful_mix_has_harmful_rows(tasks):
    assert {t.p for t in tasks if t.scenario == HARMFUL_MIX} == {0.1}
    assert {t.p for t in tasks if t.scenario in BENIGN} == {0.0}


def test_the_data_of_every_scenario_and_seed_are_hashed_once(tasks):
    names = [source.name for source in data_sources(tasks)]
    assert len(names) == len(set(names))
    users = [name for name in names if name.startswith("user, ")]
    assert len(users) == 2 * len(SCENARIOS)
    hashes = {source.sha256 for source in data_sources(tasks) if source.name in users}
    assert len(hashes) == len(users)


def test_runs_become_arms_by_scenario_in_the_order_of_the_report():
    def runs(task, *names):
        return [(name, {"of": name}, SeedRun(seed=task.seed)) for name in names]

    config = DemoConfig()
    found = {
        task: runs(task, *names)
        for task, names in [
            (Task("swat, repaired", 1, config), ("swat", "swat+panacea")),
            (Task("plain", 1, config), ("none", "panacea")),
            (Task("swat, repaired", 0, config), ("swat", "swat+panacea")),
            (Task("before", 0, config), ("before",)),
            (Task("plain", 0, config, "benign_obedience"), ("none",)),
        ]
    }
    arms = arms_of(found)
    order = ["before", "none", "panacea", "swat", "swat+panacea"]
    assert [(a.scenario, a.defense) for a in arms] == [
        *((HARMFUL_MIX, name) for name in order),
        ("benign_obedience", "none"),
    ]
    assert [a.p for a in arms] == [None, 0.1, 0.1, 0.1, 0.1, 0.0]
    assert arms[3].seeds == [0, 1]
    assert arms[3].settings == {"of": "swat"}


def test_controls_stand_behind_their_method_and_combinations_last():
    names = ["ml_lr(random)", "swat+panacea", "ml_lr", "before", "panacea", "none"]
    given = arm_order([*names, "none"])
    assert given[:2] == ["before", "none"]
    assert given.index("ml_lr(random)") == given.index("ml_lr") + 1
    assert given[-1] == "swat+panacea"


def test_an_unknown_track_is_an_error_and_not_a_silence():
    with pytest.raises(KeyError):
        run_task(Task("none of ours", 0))
