"""Weights set aside come back bit for bit, lie in no memory, and are written once."""

import pytest
import torch

from holdfast.defenses.security_vectors.set_aside import SetAside


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_every_bit_comes_back(dtype):
    weights = {n: torch.randn(5, 7).to(dtype) for n in "abc"}
    weights["a"][0, :3] = torch.tensor([float("nan"), -0.0, float("inf")])
    aside = SetAside()
    kept = {n: aside.kept(n, w) for n, w in weights.items()}
    for name, weight in weights.items():
        assert torch.equal(kept[name].view(torch.uint8), weight.view(torch.uint8))


def test_what_was_set_aside_does_not_follow_its_weight():
    weight, aside = torch.ones(4, 4), SetAside()
    kept = aside.kept("w", weight)
    weight.add_(1)
    assert torch.equal(kept, torch.ones(4, 4))
    assert torch.equal(aside.kept("w", weight), weight)


def test_an_unchanged_weight_is_written_once():
    weight, aside = torch.ones(4, 4), SetAside()
    assert aside.kept("w", weight) is aside.kept("w", weight)


def test_a_transposed_weight_keeps_its_shape():
    weight = torch.arange(6.0).view(2, 3).T
    assert torch.equal(SetAside().kept("w", weight), weight)


def test_a_full_disk_costs_memory_and_no_run(monkeypatch):
    class Full:
        def seek(self, *_):
            return 0

        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    weight = torch.ones(3)
    kept = SetAside().kept("w", weight)
    weight.add_(1)
    assert torch.equal(kept, torch.ones(3))
