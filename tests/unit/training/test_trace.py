"""Counts of hooks, and the error where one never ran."""

from dataclasses import dataclass

import pytest

from holdfast.errors import NotRunError
from holdfast.training.trace import Trace
from tests.contract.probes import KeptWeights, Planted


def test_calls_and_seconds_are_counted_also_on_errors():
    trace, defense = Trace(), Planted()
    with trace.running(defense, "gradient"):
        pass
    with pytest.raises(ZeroDivisionError), trace.running(defense, "gradient"):
        raise ZeroDivisionError
    (row,) = trace.rows()
    assert (row["defense"], row["hook"], row["calls"]) == ("planted", "gradient", 2)
    assert float(row["seconds"]) >= 0


def test_a_hook_that_never_ran_is_an_error():
    trace = Trace()
    with trace.running(KeptWeights(), "before"):
        pass
    with pytest.raises(NotRunError, match=r"kept_weights\.after_update never ran"):
        trace.check([KeptWeights()])
    with trace.running(KeptWeights(), "after_update"):
        pass
    trace.check([KeptWeights()])


def test_idle_hooks_and_served_may_not_run():
    @dataclass
    class Rests(Planted):
        def idle(self):
            return frozenset({"gradient"})

        def served(self, run):
            raise NotImplementedError

    Trace().check([Rests()])
