"""Changes are kept between trials, up to a bound, and are the same numbers either way."""

import pytest
import torch

from holdfast.analysis.modules.perturbation import noise
from holdfast.analysis.modules.remembered import Remembered
from tests.unit.analysis.tiny_analysis import probed, refs_of


class Counting:
    """A change that counts how often it is made."""

    def __init__(self, change):
        self.change, self.made = change, 0

    def __call__(self, ref, seed):
        self.made += 1
        return self.change(ref, seed)


@pytest.mark.parametrize(("kept", "made"), [(2, 2), (1, 3), (0, 4)])
def test_what_fits_is_made_once(kept, made):
    found = probed()
    first, second = refs_of(found, (0, "q"), (1, "q"))
    size = found.modules[first].weight.nbytes
    counted = Counting(noise(found.modules, 0.3))
    change = Remembered(counted, most=kept * size)
    for ref in (first, second, first, second):
        assert torch.equal(change(ref, 5), noise(found.modules, 0.3)(ref, 5))
    assert counted.made == made


def test_seeds_are_told_apart():
    found = probed()
    (ref,) = refs_of(found, (0, "q"))
    change = Remembered(noise(found.modules, 0.3))
    assert not torch.equal(change(ref, 1), change(ref, 2))


def test_a_damage_leaves_them_as_they_are():
    found = probed()
    refs = refs_of(found, (0, "q"), (0, "up"))
    change = Remembered(noise(found.modules, 0.3))
    once = found.damage(change, refs, 3)
    assert found.damage(change, refs, 3) == once == found.damage(noise(found.modules, 0.3), refs, 3)
