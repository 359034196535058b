from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigError, ConflictError
from holdfast.inputs.specs import build_defenses, parse_spec, unused_data
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
    cls, options = parse_spec("panacea: rho = 2 , mode=in-loop,kappa=none,scales=0/1")
    assert cls.card.name == "panacea"
    assert options == {"rho": 2.0, "mode": "in-loop", "kappa": None, "scales": (0.0, 1.0)}
    assert parse_spec("panacea")[1] == {}
    assert parse_spec("panacea:")[1] == {}


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
        parse_spec(spec)
    assert said in str(caught.value)


def test_data_go_to_the_fields_that_take_them():
    rows = tiny_examples(4)
    data = {"harmful": rows, "safe": None, "validation": rows}
    built = build_defenses(["random_perturbation:rho=2", "panacea"], data)
    assert [defense.card.name for defense in built] == ["random_perturbation", "panacea"]
    assert built[1].harmful is rows
    assert unused_data(built[:1], data) == ["harmful", "validation"]
    assert unused_data(built, data) == []


def test_the_list_of_defenses_is_checked_as_a_whole():
    with pytest.raises(ConfigError, match="`harmful=FILE`"):
        build_defenses(["panacea"], {})
    with pytest.raises(ConfigError, match="rho"):
        build_defenses(["random_perturbation:rho=-1"], {})
    with pytest.raises(ConflictError, match="twice"):
        build_defenses(["random_perturbation", "random_perturbation"], {})


def test_json_has_no_tuples_and_no_paths():
    assert as_json({"a": (1, 2), "b": Path("x")}) == {"a": [1, 2], "b": "x"}
