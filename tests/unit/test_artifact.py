"""Artifacts on disk, and state split into tensors and JSON."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from holdfast.artifact import Artifact, joined_state, load_state, save_state, split_state


def test_files_are_written_under_the_defenses_name(tmp_path):
    view = torch.arange(6.0).reshape(2, 3).T  # Not contiguous, as a factor may be.
    artifact = Artifact(
        "panacea",
        tensors={"patch/adapter_model": {"a": view}},
        documents={"patch/adapter_config": {"r": 2}, "report": [1, None]},
    )
    folder = artifact.save(tmp_path / "new")
    assert folder == tmp_path / "new" / "panacea"
    assert torch.equal(load_file(folder / "patch" / "adapter_model.safetensors")["a"], view)
    assert json.loads((folder / "patch" / "adapter_config.json").read_text()) == {"r": 2}
    assert json.loads((folder / "report.json").read_text()) == [1, None]


def test_saving_again_replaces(tmp_path):
    Artifact("x", documents={"report": 1}).save(tmp_path)
    Artifact("x", documents={"report": 2}).save(tmp_path)
    assert json.loads((tmp_path / "x" / "report.json").read_text()) == 2


def test_printing_one_shows_no_value():
    """Fault A4: a notebook's cell that ends with apply_panacea(...) kept ε in its output."""
    held = {"perturbation": {"weight": torch.tensor([0.12345])}}
    artifact = Artifact("x", tensors=held, documents={"report": "0.12345"}, private=True)
    assert repr(artifact) == "Artifact('x', private=True, holds perturbation, report)"


_names = st.text(st.characters(categories=["L", "N"], include_characters="._-"), min_size=1)
_values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**50), 2**50), st.floats(allow_nan=False), st.text()
)
_leaves = st.one_of(_values, st.lists(_values, max_size=3), st.just(torch.tensor([1.5, -2.0])))
_states = st.dictionaries(
    _names, st.one_of(_leaves, st.dictionaries(_names, _leaves, max_size=3)), max_size=4
)


def same(left, right):
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return left == right


@given(_states)
def test_splitting_and_joining_are_inverse(state):
    tensors, rest = split_state(state)
    assert same(joined_state(tensors, rest), state)


def test_tensors_are_copied_when_split():
    weight = torch.ones(2)
    tensors, _ = split_state({"w": weight})
    weight.zero_()
    assert tensors["w"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("state", [{}, {"n_": 3}, {"t_": {"a.b": torch.ones(1)}, "e_": {}}])
def test_state_survives_the_disk(tmp_path, state):
    save_state(tmp_path / "deep" / "er", "name", state)
    assert same(load_state(tmp_path / "deep" / "er", "name"), state)
