import pickle
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Panacea
from holdfast.errors import ConfigError, ConflictError
from holdfast.inputs.specs import Spec, build_defenses, unused_data
from holdfast.inputs.values import as_json, converted, expected
from tests.tiny import tiny_examples


@pytest.mark.parametrize(
    ("value", "hint", "wanted"),
    [
        ("3", int, 3), (3.0, int, 3), ("1e-3", float, 1e-3), (2, float, 2.0), ("yes", bool, True),
        (False, bool, False), ("none", int | None, None), ("4", int | None, 4), ("x", str, "x"),
        ("0/0.5/1", tuple[float, ...], (0.0, 0.5, 1.0)), ([1, 2], tuple[float, ...], (1.0, 2.0)),
        ("b", Literal["a", "b"], "b"), ("1e-2", float | str, 0.01), ({"a": 1}, Any, {"a": 1}),
        ("steps", float | str, "steps"), (None, Any, None),
    ],
)  # fmt: skip
def test_values_become_what_the_field_declares(value, hint, wanted):
    got = converted(value, hint)
    assert got == wanted
    assert type(got) is type(wanted)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("3.5", int), (3.5, int), (True, int), ("x", float), ("nan", float), ("inf", float),
        (float("nan"), float), (True, float), (None, int), ("maybe", bool), (2, bool),
        ("c", Literal["a", "b"]), ([], str), ("0/x", tuple[float, ...]), ({}, float | None),
        ("none", int),
    ],
)  # fmt: skip
def test_other_values_are_refused(value, hint):
    with pytest.raises(ValueError):  # noqa: PT011  # Callers say which field it was.
        converted(value, hint)
    assert expected(hint)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive_the_command_line(number):
    assert converted(str(number), float) == number


def test_a_spec_is_a_class_and_its_fields():
    spec = Spec.parse("panacea: rho = 2 , mode=in-loop,kappa=none,scales=0/1")
    assert spec.card.name == "panacea"
    assert spec.options == {"rho": 2.0, "mode": "in-loop", "kappa": None, "scales": (0.0, 1.0)}
    assert spec.told == "panacea(rho=2.0,mode=in-loop,kappa=None,scales=(0.0, 1.0))"
    for bare in map(Spec.parse, ("panacea", "panacea:")):
        assert bare.options == {}
        assert bare.told == "panacea(default)"


def test_specs_are_told_apart_by_their_text_and_travel_as_text():
    one, other = Spec.parse("panacea:rho=1"), Spec.parse("panacea:rho=1.0")
    assert one != other
    assert one.resolved() == other.resolved()
    assert one.resolved()["max_task_drop"] == Panacea.max_task_drop
    again = pickle.loads(pickle.dumps(one))  # noqa: S301  # Our own bytes.
    assert (again, hash(again), again.options) == (one, hash(one), one.options)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("panacae", "Did you mean 'panacea'"),
        ("", "unknown defense"),
        ("panacea:roh=1", "Did you mean 'rho'"),
        ("panacea:rho", "is not key=value"),
        ("panacea:rho=1,rho=2", "rho is given twice"),
        ("panacea:rho=big", "rho='big' must be a finite number or none"),
        ("panacea:mode=both", "mode='both' must be one of 'post-hoc', 'in-loop'"),
        ("panacea:losses_=1", "unknown key 'losses_'"),
        ("panacea:harmful=f.jsonl", "give it as `harmful=FILE`"),
    ],
)
def test_a_bad_spec_names_key_value_and_expectation(spec, said):
    with pytest.raises(ConfigError) as caught:
        Spec.parse(spec, "method")
    assert said in str(caught.value)
    assert str(caught.value).startswith((f"`method={spec}`: ", "unknown defense"))


def build(texts, data):
    return build_defenses([Spec.parse(text) for text in texts], data)


def test_data_go_to_the_fields_that_take_them():
    rows = tiny_examples(4)
    data = {"harmful": rows, "safe": None, "validation": rows}
    built = build(["random_perturbation:rho=2", "panacea"], data)
    assert [defense.card.name for defense in built] == ["random_perturbation", "panacea"]
    assert built[1].harmful is rows
    assert unused_data(built[:1], data) == ["harmful", "validation"]
    assert unused_data(built, data) == []


def test_the_list_of_defenses_is_checked_as_a_whole():
    with pytest.raises(ConfigError, match="`harmful=FILE`"):
        build(["panacea"], {})
    with pytest.raises(ConfigError, match="rho"):
        build(["random_perturbation:rho=-1"], {})
    with pytest.raises(ConflictError, match="twice"):
        build(["random_perturbation", "random_perturbation"], {})


def test_json_has_no_tuples_and_no_paths():
    assert as_json({"a": (1, 2), "b": Path("x")}) == {"a": [1, 2], "b": "x"}
