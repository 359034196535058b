"""The recipe of the robust modules' controls speaks of the very bench that real.yaml is."""

from importlib.resources import files

import pytest
import yaml

from holdfast.defenses.subsets import SUBSETS

OWN = ("p", "defenses", "sweeps")


def read(name):
    return yaml.safe_load(files("holdfast.bench.recipes").joinpath(f"{name}.yaml").read_text())


def differing(real, robust):
    """The keys but its own in which the recipe is another bench."""
    return {key for key in {*real, *robust} - {*OWN} if real.get(key) != robust.get(key)}


def test_model_files_and_training_are_those_of_the_real_bench():
    assert not differing(read("real"), read("real_robust"))


@pytest.mark.parametrize("key", ["training", "files", "rows", "seeds"])
def test_another_bench_is_seen(key):
    real = read("real")
    assert differing(real, {**real, key: "other"}) == {key}


def test_both_methods_stand_beside_each_control():
    arms = read("real_robust")["defenses"]
    controls = {arm.partition("subset=")[2] for arm in arms} - {""}
    assert controls <= {*SUBSETS} - {"robust"}
    assert {"roles", "attention", "random_matched"} == controls
    assert {f"{m}:subset={c}" for m in ("ml_lr", "swat") for c in controls} <= {*arms}
    assert {"before", "none", "ml_lr", "swat"} <= {*arms}
