import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from holdfast.data.load import load_examples
from holdfast.errors import ConfigError, ModelError
from holdfast.files.folders import WholeFolder
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.models import load_model, positions
from holdfast.inputs.options.training_options import (
    idle_notes,
    overruled_notes,
    sft_config,
    training_options,
)
from holdfast.inputs.rows import columns_of, items_from, source
from holdfast.training.failures import as_run_error, disk_is_full
from tests.tiny import tiny_model, tiny_tokenizer


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    folder = WholeFolder(tmp_path / "deep" / "out")
    folder.check()
    with suppress(RuntimeError), folder.writing() as partial:
        (partial / "half").touch()
        raise RuntimeError
    assert list((tmp_path / "deep").iterdir()) == []
    with folder.writing() as partial:
        (partial / "a").touch()
        assert not folder.target.exists()
    assert [path.name for path in folder.target.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_overwrite_is_asked_for_and_spares_inputs(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    WholeFolder(target).check()  # Empty: nothing to lose.
    (target / "data.jsonl").touch()
    with pytest.raises(ConfigError, match="`overwrite=True`"):
        WholeFolder(target).check()
    again = WholeFolder(target, overwrite=True)
    again.check()
    with pytest.raises(ConfigError, match="lost"):
        again.check([target / "data.jsonl"])
    with again.writing() as partial:
        (partial / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        WholeFolder(tmp_path / "file", overwrite=True).check()


def test_a_folder_that_cannot_be_written_is_refused_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # Root may write anywhere.
    with pytest.raises(ConfigError, match="cannot be written"):
        WholeFolder(tmp_path / "out").check()


def test_disk_full_is_recognized_in_every_disguise():
    buried = RuntimeError("outer")
    buried.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert disk_is_full(buried)
    assert disk_is_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert disk_is_full(OSError(errno.ENOSPC, "in any language"))
    closing = "[enforce fail at inline_container.cc:672] . unexpected pos 2891968 vs 2891860"
    assert disk_is_full(
        RuntimeError(closing)
    )  # Seen on a full tmpfs: nothing else is in its chain.
    assert not disk_is_full(OSError(errno.EACCES, "Permission denied"))
    assert as_run_error(ValueError("x"), "kept") is None
    assert "memory is full" in str(as_run_error(torch.OutOfMemoryError("x"), "kept"))
    assert str(as_run_error(buried, "it is kept")).endswith("it is kept")


def test_what_safetensors_cannot_write_is_told_with_its_reason(tmp_path):
    """A file beyond a file system's largest, or a folder that went, was a fault of holdfast."""
    with pytest.raises(SafetensorError) as caught:
        save_file({"w": torch.ones(1)}, tmp_path / "gone" / "model.safetensors")
    told = str(as_run_error(caught.value, "it is kept"))
    assert told.startswith("a file cannot be written: No such file or directory: ")
    assert told.endswith("it is kept")


def options(tmp_path, text: str = "", **fields: object) -> dict[str, object]:
    (tmp_path / "c.yaml").write_text(text)
    given = {"model": "m", "data": "d", "output": tmp_path, "config": tmp_path / "c.yaml"}
    return training_options(TuneConfig(**{**given, **fields}))[0]  # type: ignore[arg-type]


def test_options_win_in_the_order_file_set_flag(tmp_path):
    text = "weight_decay: 1e-1\nadam_beta1: .5\nseed: 7\nmax_grad_norm: 2"
    found = options(tmp_path, text, set=["adam_beta1=.6", "max_grad_norm=3"], learning_rate=1.0)
    assert found["weight_decay"] == 0.1
    assert found["adam_beta1"] == 0.6
    assert found["max_grad_norm"] == 3.0
    assert found["learning_rate"] == 1.0
    assert found["seed"] == 7
    assert options(tmp_path, "seed: 7", seed=1)["seed"] == 1
    assert options(tmp_path, "seed: 7", seed=0)["seed"] == 0
    assert options(tmp_path, "", set=["seed=7"], seed=0)["seed"] == 0
    assert options(tmp_path)["seed"] == 0
    assert sft_config(found, tmp_path).max_grad_norm == 3.0


@pytest.mark.parametrize(
    ("given", "fields", "told"),
    [
        (["learning_rate=.5"], {"learning_rate": 1e-3}, ["learning_rate=0.5 in `set` is unread"]),
        (["num_train_epochs=3"], {"epochs": 2.0}, ["`epochs=2.0` was taken: num_train_epochs=3"]),
        (["learning_rate=1e-3", "seed=0"], {"learning_rate": 1e-3, "seed": 0}, []),
        (["learning_rate=.5"], {}, []),
        ([], {"learning_rate": 1e-3}, []),
    ],
)
def test_what_set_says_beside_an_option_of_its_own_is_told_to_be_unread(given, fields, told):
    """The rate of --set was not run, and nothing said so."""
    config = TuneConfig(model="m", data="d", output=Path("o"), set=given, **fields)
    found = overruled_notes(config)
    assert len(found) == len(told)
    assert all(one in note for one, note in zip(told, found, strict=True))


@pytest.mark.parametrize("later", [{"epochs": 2.0}, {"set": ["num_train_epochs=2"]}])
def test_epochs_of_the_command_line_win_over_steps_of_the_file(later, tmp_path):
    """The file's steps were run, though the command line wins over it."""
    found = options(tmp_path, "max_steps: 10", **later)
    assert (found.get("max_steps"), found["num_train_epochs"]) == (None, 2.0)
    assert idle_notes(found) == []
    both = options(tmp_path, "max_steps: 10", set=["max_steps=5"], epochs=1.0)
    assert both["max_steps"] == 5  # Both are the command line's: the steps, and it is told.
    assert len(idle_notes(both)) == 1
    assert options(tmp_path, "num_train_epochs: 2", max_steps=3)["max_steps"] == 3


def test_options_that_decide_nothing_are_told(tmp_path):
    for text, fields in (("num_train_epochs: 2", {}), ("", {"epochs": 2.0})):
        told = idle_notes(options(tmp_path, text, max_steps=3, **fields))
        assert told == ["3 steps were run, as `max_steps` says: `epochs` (2) is unread"]
    assert idle_notes(options(tmp_path, epochs=2.0, max_steps=-1)) == []
    assert "no weight" in idle_notes(options(tmp_path, learning_rate=0.0))[0]
    assert idle_notes(options(tmp_path, max_steps=3)) == idle_notes({}) == []


@pytest.mark.parametrize(("text", "given"), [("", ["report_to=none"]), ("report_to: none", [])])
def test_no_tracker_can_be_asked_for_by_its_word(tmp_path, text, given):
    """It stood for no value, which SFTConfig made a tracker without a name of."""
    assert sft_config(options(tmp_path, text, set=given), tmp_path).report_to == []


def test_an_option_that_is_set_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="adam_beta1 is given twice"):
        options(tmp_path, set=["adam_beta1=.6", "adam_beta1=.7"])


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is something to take off")
def test_activations_are_taken_off_no_processor(tmp_path):
    """It was told when the trainer was built, as an attribute that an object has not."""
    with pytest.raises(ConfigError, match="`activation_offloading` takes activations off an acc"):
        options(tmp_path, set=["activation_offloading=true"])


@pytest.mark.parametrize("text", ["bf16: true\nfp16: true", "lr_scheduler_type: nope"])
def test_what_sftconfig_refuses_is_a_config_error(tmp_path, text):
    with pytest.raises(ConfigError, match="SFTConfig refuses"):
        sft_config(options(tmp_path, text), tmp_path)


def test_columns_and_items(tmp_path):
    assert columns_of("prompt=q, completion=a") == {"prompt": "q", "completion": "a"}
    assert columns_of(None) is None
    for bad in ("", "prompt", "prompt=", "prompt=a,prompt=b"):
        with pytest.raises(ConfigError):
            columns_of(bad)
    path = tmp_path / "d.csv"
    path.write_text("question,answer,reference\nq1,a1,\nq2,a2,r2\n")
    rows = load_examples(path)
    assert [item.reference for item in items_from("task", rows)] == ["a1", "r2"]
    assert [item.id for item in items_from("harmful", rows)] == ["harmful-1", "harmful-2"]
    assert items_from("harmful", rows)[1].reference is None
    assert source("data", None) is None
    found = source("data", str(path))
    assert found is not None
    assert found.record().rows == 2


def test_a_model_loads_in_float32_and_says_its_length(tmp_path):
    tiny_model().half().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model, tokenizer = load_model(str(tmp_path))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert positions(model, tokenizer) == 128


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"extra{i}" for i in range(9)])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="resize the embedding"):
        load_model(str(tmp_path))


ALL = "{% for m in messages %}{{ m['content'] }} <end> {% endfor %}"


def test_a_template_can_be_given(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer(template=False).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="`chat_template="):
        load_model(str(tmp_path))
    (tmp_path / "mine.jinja").write_text(ALL)
    _, tokenizer = load_model(str(tmp_path), chat_template=tmp_path / "mine.jinja")
    assert tokenizer.chat_template == ALL
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(str(tmp_path), chat_template=tmp_path / "no.jinja")
