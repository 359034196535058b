"""A few cases of each part of the fault drill; ``measurements/fault_drill`` has them all."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from measurements.fault_drill import inputs, kills
from measurements.fault_drill.damage import damage_case
from measurements.fault_drill.kills import kill_case, swap_case
from measurements.fault_drill.tally import Tally
from measurements.fault_drill.worker import watched
from measurements.fault_drill.workplace import build

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drill")
    here = Path.cwd()
    build(folder / "base")
    yield folder
    os.chdir(here)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(Path.cwd())


def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(work):
    """Fault E2: a finished model was lost where a kill came at the wrong moment."""
    assert kill_case(3, work / "base", work)["outcome"] == "same"


@pytest.mark.parametrize("number", [5, 12])
def test_a_swap_that_was_killed_loses_nothing(work, number):
    """Fault E2: four points of the final swap lost the new model or the old one."""
    said = swap_case(number, work / "base", work)
    assert said is not None
    assert said["first"] == "killed"
    assert said["outcome"] == "same"


@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_state_gives_the_same_weights_or_a_refusal(work, number):
    """Fault E6: a damaged state gave other weights at exit code 0."""
    assert damage_case(number, work / "base", work)["outcome"] not in kills.WRONG


def _bad_inputs(work):
    tally, cases = Tally(work / "inputs.jsonl"), range(len(inputs.KINDS))
    run = partial(inputs.case, base=work / "base", work=work)
    for number, said in watched(cases, run, inputs.longest):
        tally.add(number, said)
    return tally.summary(cases, inputs.WRONG)


def test_bad_inputs_of_every_kind_are_refused_or_harmless(work):
    """Fault E12: bad input ended as a fault of holdfast."""
    # Its workers are forked with a bound on their memory, and this process has had other tests.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        summary = fresh.submit(_bad_inputs, work).result()
    assert summary["cases"] == len(inputs.KINDS)
    assert summary["wrong"] == []
    assert len(summary["kinds"]) == len(inputs.KINDS)


def test_what_must_not_be_is_seen(tmp_path):
    """The drill itself can fail: a hang, a death and an exception that leaves are told apart."""

    def run(number, tell):
        tell({"kind": "planted"})
        if number == 0:
            while True:
                pass
        if number == 1:
            os._exit(3)
        return {"outcome": inputs._outcome("ValueError: x", "", {}, {})}

    found = {case: said["outcome"] for case, said in watched([0, 1, 2], run, lambda _: 0.3)}
    assert found == {0: "hang", 1: "crash", 2: "escaped"}
    outcome = inputs._outcome
    assert outcome(1, "(this is a fault of holdfast; ...)", {}, {}) == "fault"
    assert outcome(2, "error: x", {}, {"new": ""}) == "wrote"
    assert outcome(0, "", {"mine": "a"}, {"mine": "b"}) == "lost"
    assert outcome(2, "error: x", {"mine": "a"}, {"mine": "a"}) == "refused"
