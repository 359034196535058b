"""The search by hand: types by mean, deepest first, rolled back, next type; its two ends."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.analysis.modules.search import by_type, search
from holdfast.ops.modules import ModuleRef


def ref(layer, role):
    return ModuleRef(layer, role, f"{layer}.{role}")


SCORES = {
    ref(0, "q"): 9.0, ref(1, "q"): 1.0, ref(2, "q"): 2.0,  # Mean 4.
    ref(0, "k"): 3.0, ref(1, "k"): 2.0, ref(2, "k"): 1.0,  # Mean 2.
    ref(0, "v"): 5.0, ref(1, "v"): 5.0, ref(2, "v"): 5.0,  # Mean 5.
}  # fmt: skip


def total(refs):
    return sum(SCORES[r] for r in refs)


def names(refs):
    return [f"{r.layer}.{r.role}" for r in refs]


def test_types_by_mean_and_the_deepest_first():
    assert [names(refs) for refs in by_type(SCORES)] == [
        ["2.k", "1.k", "0.k"], ["2.q", "1.q", "0.q"], ["2.v", "1.v", "0.v"],
    ]  # fmt: skip


def test_a_worked_example():
    asked = []

    def joint(refs):
        asked.append(names(refs))
        return total(refs)

    chosen, trace = search(SCORES, joint, 8.0)
    # k: 1, 3, 6 kept. q: 6 + 2 = 8 kept, + 1 = 9 rolled back, and 0.q is not tried. v: 13 back.
    assert names(chosen) == ["0.k", "1.k", "2.k", "2.q"]
    assert [(str(t.module), t.score, t.kept) for t in trace] == [
        ("2.k", 1, True), ("1.k", 3, True), ("0.k", 6, True),
        ("2.q", 8, True), ("1.q", 9, False), ("2.v", 13, False),
    ]  # fmt: skip
    assert asked[-1] == ["2.k", "1.k", "0.k", "2.q", "2.v"]


def test_robust_alone_and_sensitive_together():
    def joint(refs):
        pair = {ref(2, "k"), ref(1, "k")} <= set(refs)
        return 100.0 if pair else 0.0

    chosen, _ = search(SCORES, joint, 1.0)
    assert names(chosen) == ["0.q", "0.v", "1.q", "1.v", "2.k", "2.q", "2.v"]


def test_both_ends_of_tau():
    assert search(SCORES, total, 0.0)[0] == []
    assert len(search(SCORES, total, 0.0)[1]) == 3  # Each type is still tried once.
    assert search(SCORES, total, total(SCORES))[0] == sorted(SCORES)


def test_a_score_that_is_no_number_is_rolled_back():
    assert search(SCORES, lambda _: float("nan"), 1.0)[0] == []


def test_ties_are_broken_by_name():
    equal = dict.fromkeys(SCORES, 1.0)
    found = [search(dict(items), total, 8.0) for items in (equal.items(), reversed(equal.items()))]
    assert found[0] == found[1]


@given(st.lists(st.floats(0, 10), min_size=9, max_size=9), st.floats(0, 50), st.floats(0, 50))
def test_what_is_chosen_stays_within_the_limit(values, one, two):
    table = dict(zip(SCORES, values, strict=True))

    def joint(refs):
        return sum(table[r] for r in refs)

    chosen, trace = search(table, joint, one)
    assert joint(chosen) <= one + 1e-9
    assert len(trace) <= len(table)
    assert sum(t.kept for t in trace) == len(chosen)
    assert len(trace) == len({str(t.module) for t in trace})
