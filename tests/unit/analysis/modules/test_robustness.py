"""The exact map: resumed after a kill it is the same; other files are refused; ρ is calibrated."""

import json

import pytest

from holdfast.analysis.modules import robustness
from holdfast.analysis.modules.first_order import first_order
from holdfast.analysis.modules.perturbation import Damage, noise
from holdfast.analysis.modules.robust_modules import ModuleAt
from holdfast.analysis.modules.robustness import (
    LADDER,
    SATURATED,
    ModuleScore,
    calibrated_rho,
    exact,
)
from holdfast.errors import InputError, RunError
from tests.unit.analysis.tiny_analysis import probed

SEEDS = (3, 4)
KEY = {"rho": 0.3, "who": "me"}


@pytest.fixture(scope="module")
def found():
    return probed()


class Counting:
    """Noise that counts its draws and is killed at one of them."""

    def __init__(self, found, stop=None):
        self.made, self.stop, self.change = [], stop, noise(found.modules, 0.3)

    def __call__(self, ref, seed):
        if len(self.made) == self.stop:
            raise KeyboardInterrupt
        self.made.append((ref, seed))
        return self.change(ref, seed)


def killed(found, path, stop):
    with pytest.raises(KeyboardInterrupt):
        exact(found, Counting(found, stop), SEEDS, partial=path, key=KEY)


def test_every_module_for_every_seed(found):
    told = []
    table = exact(found, Counting(found), SEEDS, progress=lambda *at: told.append(at))
    assert list(table) == list(found.modules)
    assert {len(draws) for draws in table.values()} == {2}
    assert told == [("modules", n, 28) for n in range(29)]
    alone = found.damage(noise(found.modules, 0.3), list(found.modules)[4:5], SEEDS[1])
    assert list(table.values())[4][1] == alone


@pytest.mark.parametrize("stop", [0, 1, 15, 27])
@pytest.mark.parametrize("cut", [0, 1, 40])
def test_a_killed_run_goes_on_and_ends_with_the_same_figures(found, tmp_path, stop, cut):
    path = tmp_path / "new" / "partial.jsonl"
    whole = exact(found, Counting(found), SEEDS)
    killed(found, path, stop)
    text = path.read_text()
    path.write_text(text[: len(text) - cut])
    left = max(0, stop - (cut > 0))
    rest = Counting(found)
    assert exact(found, rest, SEEDS, partial=path, key=KEY) == whole
    assert len(rest.made) == 28 - left
    again = Counting(found)
    assert exact(found, again, SEEDS, partial=path, key=KEY) == whole
    assert again.made == []


def test_more_seeds_go_on_from_fewer(found, tmp_path):
    path = tmp_path / "partial.jsonl"
    exact(found, Counting(found), SEEDS[:1], partial=path, key=KEY)
    rest = Counting(found)
    exact(found, rest, SEEDS, partial=path, key=KEY)
    assert {seed for _, seed in rest.made} == {SEEDS[1]}


def test_an_empty_file_is_begun(found, tmp_path):
    path = tmp_path / "partial.jsonl"
    path.touch()
    exact(found, Counting(found), SEEDS[:1], partial=path, key=KEY)
    assert json.loads(path.read_text().splitlines()[0]) == {"key": KEY}


def test_a_file_of_another_analysis_is_refused(found, tmp_path):
    path = tmp_path / "partial.jsonl"
    killed(found, path, 3)
    before = path.read_bytes()
    with pytest.raises(InputError, match="another analysis"):
        exact(found, Counting(found), SEEDS, partial=path, key={**KEY, "rho": 0.2})
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["word\n", "[]\n", '{"key": 1}\n{"name": "x"}\n', "7\n8\n"])
def test_any_other_file_is_refused(found, tmp_path, content):
    path = tmp_path / "partial.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=r"remove it"):
        exact(found, Counting(found), SEEDS, partial=path, key=KEY)
    assert path.read_text() == content


def test_a_file_that_cannot_be_written(found, tmp_path):
    (tmp_path / "partial").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        exact(found, Counting(found), SEEDS, partial=tmp_path / "partial", key=KEY)


def test_one_figure_of_a_module():
    figures = {"mean_logit": 0, "accuracy": 0, "balanced_accuracy": 0}
    draws = [Damage(drift=d, logit=x, **figures) for d, x in ((1, 3), (3, 4))]
    at = ModuleAt(layer=0, role="q")
    score = ModuleScore(module=at, name="x", damage=draws)
    assert (score.mean("drift"), score.mean("logit")) == (2, pytest.approx(12.5**0.5))
    assert ModuleScore(module=at, name="x", estimate=0.7).mean("logit") == 0.7


class TestRho:
    def test_it_is_deterministic_and_one_of_the_ladder(self, found):
        assert calibrated_rho(found, 1) == calibrated_rho(probed(cached=False), 1)
        assert calibrated_rho(found, 1) in LADDER

    def test_it_spreads_and_does_not_saturate(self, found):
        rho = calibrated_rho(found, 1)
        at = LADDER.index(rho)
        estimate = first_order(found, 1.0)
        first = sorted(estimate, key=lambda r: -estimate[r])[:3]

        def drift(value):
            change = noise(found.modules, value)
            return max(found.damage(change, [r], 1).drift for r in first)

        assert drift(rho) <= SATURATED
        assert at + 1 == len(LADDER) or drift(LADDER[at + 1]) > SATURATED
        scores = [d[0].logit for d in exact(found, noise(found.modules, rho), [1]).values()]
        assert max(scores) > 3 * min(scores)

    def test_beyond_the_models_numbers_it_stops(self, found, monkeypatch):
        monkeypatch.setattr(robustness, "LADDER", (0.05, 1e39))
        assert calibrated_rho(found, 1) == 0.05


@pytest.mark.parametrize("text", ["mine", "mine\n", "mine\nhalf", '{"a": 1}\nhalf', "\udcff"])
def test_somebody_elses_file_stays_as_it_is(found, tmp_path, text):
    """Fault E4: a file of the user's called .NAME.analysis.jsonl was cut or overwritten."""
    path = tmp_path / ".out.analysis.jsonl"
    content = text.encode("utf-8", "surrogateescape")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"half-done analysis|another analysis"):
        exact(found, Counting(found), SEEDS, partial=path, key=KEY)
    assert path.read_bytes() == content
