import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from holdfast.data.mix import mix, shares
from holdfast.data.splits import check_disjoint
from holdfast.errors import ConfigError, DataError
from holdfast.files.hashes import sha256_of
from holdfast.organism import scenarios
from tests.tiny import tiny_examples


def tagged(n: int, tag: str) -> Dataset:
    return Dataset.from_list([{"prompt": f"{tag}{i}", "completion": "x"} for i in range(n)])


@given(n=st.integers(1, 500), p=st.floats(0, 1))
def test_shares_are_exact(n, p):
    keep, add = shares(n, p)
    assert keep + add == n
    assert abs(add - p * n) <= 0.5 + 1e-6


@pytest.mark.parametrize(("n", "p", "halves"), [(5, 0.5, (2, 3)), (30, 0.15, (25, 5))])
def test_halves_round_up_for_files_and_for_the_organism(n, p, halves):
    rows = scenarios.harmful_mix(n, p, 0)["category"]
    assert shares(n, p) == (rows.count("benign"), rows.count("harmful")) == halves


def test_mix_has_the_exact_count_and_the_seeds_order():
    base, added = tagged(50, "b"), tagged(20, "a")
    first = mix(base, added, n=30, p=0.15, seed=1)["prompt"]
    assert sum(prompt.startswith("a") for prompt in first) == 5
    assert len(set(first)) == 30
    assert first == mix(base, added, n=30, p=0.15, seed=1)["prompt"]
    assert first != mix(base, added, n=30, p=0.15, seed=2)["prompt"]
    assert [prompt[0] for prompt in first] != sorted(prompt[0] for prompt in first)


def test_a_larger_share_holds_the_smaller():
    base, added = tagged(50, "b"), tagged(20, "a")

    def drawn(p: float) -> set[str]:
        rows = mix(base, added, n=40, p=p, seed=3)["prompt"]
        return {row for row in rows if row.startswith("a")}

    assert drawn(0.1) < drawn(0.3)


def test_mix_refuses_what_it_cannot_give():
    base, added = tagged(5, "b"), tagged(2, "a")
    with pytest.raises(DataError, match="need 5 of the added set, which has 2"):
        mix(base, added, n=10, p=0.5, seed=0)
    for bad in ({"n": 0, "p": 0.5}, {"n": 2, "p": 1.5}, {"n": 2, "p": float("nan")}):
        with pytest.raises(ConfigError):
            mix(base, added, seed=0, **bad)
    assert len(mix(base, added, n=5, p=0, seed=0)) == 5
    assert len(mix(base, added, n=2, p=1, seed=0)) == 2


def test_disjoint_sets_pass_and_a_shared_prompt_is_named():
    rows = tiny_examples(6).to_list()
    check_disjoint({"user": rows[:3] + rows[:1], "test": rows[3:]})
    shouted = dict(rows[1], prompt=[{"role": "user", "content": " WHAT is 0  plus 1 "}])
    with pytest.raises(DataError, match=r"test, row 2: has the same prompt as user, row 2"):
        check_disjoint({"user": rows[:3], "test": [rows[4], shouted]})


def test_hash_follows_the_examples_and_nothing_else():
    rows = tiny_examples(3).to_list()
    plain = sha256_of(rows)
    assert plain == sha256_of([{"row": 9, "id": "x", **row} for row in rows])
    assert plain != sha256_of(rows[::-1])
    assert plain != sha256_of(rows[:2])
    assert len(plain) == 64
