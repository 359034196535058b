"""Counts of hooks, and the error where one never ran."""

from dataclasses import dataclass

import pytest

from holdfast.errors import NotRunError
from holdfast.testing.runs import new_folder, new_trainer
from holdfast.training.trace import Trace
from tests.contract.probes import KeptWeights, Planted
from tests.distributed import in_processes


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


def test_a_run_that_goes_on_tells_of_all_of_it(tmp_path):
    """A resumed run told the calls and the time of its last part as those of the whole."""
    first, defense = Trace(), Planted()
    first.began -= 100
    first.note("planted", "harmful: rows cut", 3)
    for hook in ("data", "before", "loss", "loss"):
        with first.running(defense, hook):
            pass
    first.save(tmp_path, {"loss": 1.5})
    again = Trace()
    again.note("planted", "harmful: rows cut", 3)
    with again.running(defense, "data"):
        pass
    again.goes_on(tmp_path)
    with again.running(defense, "loss"):
        pass
    calls = {row["hook"]: row["calls"] for row in again.rows()}
    assert calls == {"harmful: rows cut": 3, "data": 1, "before": 1, "loss": 3}
    assert 100 <= again.spent < 200
    assert again.unlogged == {"loss": 1.5}


def test_a_checkpoint_that_tells_nothing_is_gone_on_from(tmp_path):
    trace = Trace()
    trace.goes_on(tmp_path)
    assert trace.rows() == []
    assert trace.spent == 0


@pytest.mark.parametrize(("processes", "batch", "now"), [(1, 2, 2), (1, 4, None), (2, 2, None)])
def test_a_run_whose_steps_have_other_rows_from_here_on_is_told(processes, batch, now):
    """Stopped in two processes and gone on in one, a script took half the rows without a word."""
    folder = new_folder()

    def act(steps, batch, resume=None):
        trainer = new_trainer(
            [Planted()], folder=folder, max_steps=steps, save_strategy="steps", save_steps=2,
            per_device_train_batch_size=batch,
        )  # fmt: skip
        said = []
        trainer.say = said.append
        trainer.train(resume_from_checkpoint=resume)
        return [line for line in said if "rows each" in line]

    assert in_processes(act, 2, 2) == [[], []]
    more = (4, batch, True)
    said = act(*more) if processes == 1 else in_processes(act, *more)[0]
    if now is None:
        assert said == []
    else:
        assert "up to checkpoint-2 had 4 rows each and now have 2" in said[0]


@pytest.mark.parametrize(("batch", "told"), [(4, False), (2, True)])
def test_a_batch_that_processes_split_among_them_is_counted_once(batch, told):
    """Split in two and gone on with whole, the very same steps were told as of half the rows."""
    folder, split = new_folder(), {"accelerator_config": {"split_batches": True}}

    def act(steps, batch, resume=None):
        trainer = new_trainer(
            [Planted()], folder=folder, max_steps=steps, save_strategy="steps", save_steps=2,
            per_device_train_batch_size=batch, **split,
        )  # fmt: skip
        said, seen = [], []
        trainer.say = said.append
        plain = trainer.training_step
        trainer.training_step = lambda model, inputs, *args, **kwargs: (
            seen.append(len(inputs["input_ids"])), plain(model, inputs, *args, **kwargs)
        )[1]  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)
        return seen, [line for line in said if "rows each" in line]

    assert in_processes(act, 2, 4) == [([2, 2], []), ([2, 2], [])]
    seen, said = act(4, batch, True)
    assert seen == [batch] * 2
    assert bool(said) == told
    assert not told or "had 4 rows each and now have 2" in said[0]
