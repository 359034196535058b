"""Groups per schedule, and a scheduler that keeps its shape."""

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR, StepLR

from holdfast.errors import ConfigError
from holdfast.training.learning_rates import named, rates, scheduler_with, split_groups
from tests.tiny import tiny_model


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture
def optimizer(model):
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=0.01,
    )


def half_q(ref):
    return (0.5, 0.25) if ref.role == "q" else (1.0, 1.0)


def test_ones_leave_the_groups_whole(model, optimizer):
    before = [list(g["params"]) for g in optimizer.param_groups]
    assert split_groups(optimizer, model, lambda _: (1.0, 1.0)) == [(1.0, 1.0)] * 2
    for kept, group in zip(before, optimizer.param_groups, strict=True):
        assert all(a is b for a, b in zip(kept, group["params"], strict=True))


def test_a_group_is_split_by_schedule_and_keeps_its_options(model, optimizer):
    found = split_groups(optimizer, model, half_q)
    assert sorted(found) == [(0.5, 0.25), (1.0, 1.0), (1.0, 1.0)]
    index = found.index((0.5, 0.25))
    group = optimizer.param_groups[index]
    queries = [p for n, p in model.named_parameters() if "q_proj" in n]
    assert {id(p) for p in group["params"]} == {id(p) for p in queries}
    assert group["weight_decay"] == 0.1
    assert group["roles"] == "q"
    total = sum(len(g["params"]) for g in optimizer.param_groups)
    assert total == len(list(model.parameters()))


def test_an_empty_group_stays(model):
    first, *_ = model.parameters()
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": []}], lr=0.1)
    assert split_groups(optimizer, model, lambda _: (1.0,)) == [(1.0,), ()]
    base = LambdaLR(optimizer, lambda step: 1 / (step + 1))
    assert scheduler_with(base, [(1.0,), ()]).get_last_lr() == [0.1, 0.1]


def test_the_shape_is_kept_and_multiplied_per_group(model, optimizer):
    found = split_groups(optimizer, model, half_q)
    base = LambdaLR(optimizer, lambda step: 1 / (step + 1))
    scheduler = scheduler_with(base, found)
    index = found.index((0.5, 0.25))
    other = (index + 1) % 3
    seen = []
    for _ in range(3):
        seen.append((optimizer.param_groups[index]["lr"], optimizer.param_groups[other]["lr"]))
        optimizer.step()
        scheduler.step()
    expected = [(0.005, 0.01), (0.00125, 0.005), (0.01 / 3 / 4, 0.01 / 3)]
    assert torch.allclose(torch.tensor(seen), torch.tensor(expected))  # The last one holds.


def test_a_scheduler_that_is_no_function_of_the_step_is_refused(optimizer):
    with pytest.raises(ConfigError, match="StepLR is not"):
        scheduler_with(StepLR(optimizer, 1), [(), ()])


def test_every_group_is_named_by_number_and_roles(model, optimizer):
    assert rates(optimizer) == {"learning_rate/0:all": 0.01, "learning_rate/1:all": 0.01}
    found = split_groups(optimizer, model, half_q)
    keys = list(rates(optimizer))
    assert keys[found.index((0.5, 0.25))].endswith(":q")
    assert len(keys) == 3


def test_names_say_which_layers_where_a_role_is_split(model, optimizer):
    def schedule(ref):
        return (1.0,) if (ref.layer, ref.role) in {(0, "q"), (1, "q"), (1, "v")} else (0.1,)

    found = split_groups(optimizer, model, schedule)
    assert found == [(1.0,), (0.1,), (0.1,)]  # The highest rate first, in each group.
    assert [g["roles"] for g in optimizer.param_groups] == [
        "q+v[1]",
        "down+gate+k+o+other+up+v[0]",
        "other",
    ]


def test_runs_of_layers_are_joined():
    every = {"q": set(range(8)), "other": {-1, 0}}
    assert named({"q": {0, 2, 3, 4, 7}}, every) == ["q[0,2-4,7]"]
    assert named({"q": set(range(8)), "other": {-1}}, every) == ["other", "q"]
    assert named({"q": {5}}, every) == ["q[5]"]
