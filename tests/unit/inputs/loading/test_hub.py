"""What the hub says no to is one line with a way out; libraries wrap its errors in others."""

from pathlib import Path

import httpx
import pytest
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

from holdfast.commands.inspection.subject import subject_of
from holdfast.errors import ConfigError, ModelError
from holdfast.inputs.configs import EvaluateConfig, InspectConfig, RepairConfig
from holdfast.inputs.fit.quantized import refuse_uneditable
from holdfast.inputs.guards import network
from holdfast.inputs.loading import hub
from holdfast.inputs.loading.placement import Placement
from holdfast.inputs.models import load_model, model_of
from tests.tiny import tiny_model, tiny_tokenizer


def answered(kind, status=401):
    request = httpx.Request("GET", "https://huggingface.co/owner/name")
    return kind("said no", response=httpx.Response(status, request=request))


FAULTS = {
    "gated": (lambda: answered(GatedRepoError, 403), r"is gated: ask for access at .*owner/name"),
    "not there": (lambda: answered(RepositoryNotFoundError), "no such model on the hub"),
    "no revision": (lambda: answered(RevisionNotFoundError, 404), "has no `revision=v9`"),
    "no file": (lambda: EntryNotFoundError("config.json"), "lacks a file"),
    "broken": (lambda: answered(HfHubHTTPError, 503), "the hub answered 503"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_each_is_one_line(monkeypatch, fault, wrapped):
    made, said = FAULTS[fault]

    def no(*_, **__):
        if not wrapped:
            raise made()
        try:
            raise made()
        except Exception as error:
            raise OSError("something long\nabout logging in") from error

    monkeypatch.setattr(network, "hub_answers", lambda: True)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", no)
    with pytest.raises(ModelError, match=rf"`model=owner/name.*`: {said}") as error:
        load_model("owner/name", placement=Placement(revision="v9"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("token", "said"), [(None, "none is given"), ("x", "may not")])
def test_it_tells_whether_there_is_a_token(monkeypatch, token, said):
    monkeypatch.setattr(hub, "get_token", lambda: token)
    found = hub.hub_fault(answered(GatedRepoError, 403), "owner/name", None)
    assert said in str(found)
    assert "HF_TOKEN" in str(found)


def test_an_error_that_is_not_the_hub_s_is_none_of_its():
    assert hub.hub_fault(ValueError("x"), "owner/name", None) is None


def test_the_revision_reaches_every_file(monkeypatch):
    asked = []

    def no(name, **options):
        asked.append(options.get("revision"))
        raise answered(RevisionNotFoundError, 404)

    monkeypatch.setattr(network, "hub_answers", lambda: True)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", no)
    with pytest.raises(ModelError, match="has no `revision=abc`"):
        model_of(EvaluateConfig(model="owner/name", revision="abc"))
    assert asked == ["abc"]


@pytest.fixture
def base(tmp_path):
    tiny_model().save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


def test_a_folder_has_no_revisions(base):
    with pytest.raises(ConfigError, match=r"`revision=v1`.*is on this disk and has no revisions"):
        load_model(base, placement=Placement(revision="v1"))


@pytest.mark.parametrize("given", [{"quantization": "4bit"}, {"device_map": "cpu"}])
def test_the_organism_is_loaded_as_it_is(given):
    with pytest.raises(ConfigError, match="the built-in test model is loaded as it is"):
        load_model("organism", placement=Placement(**given))


@pytest.mark.parametrize("given", [{"dtype": "bfloat16"}, {"chat_template": Path("t.jinja")}])
def test_an_option_that_the_organism_passes_over_is_refused(given):
    """It was loaded in float32 with its own template, and the result said otherwise."""
    with pytest.raises(ConfigError, match="the built-in test model is loaded as it is"):
        load_model("organism", **given)


def test_a_template_that_the_organism_passes_over_is_refused_by_inspect_too():
    with pytest.raises(ConfigError, match="the built-in test model is loaded as it is"):
        subject_of(InspectConfig(model="organism", chat_template=Path("t.jinja")))


@pytest.mark.parametrize("where", ["auto", "cpu", "balanced", "sequential"])
def test_weights_are_put_where_the_device_map_says(monkeypatch, base, where):
    told, load = [], AutoModelForCausalLM.from_pretrained

    def seen(*args, **options):
        told.append(options.get("device_map"))
        return load(*args, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", seen)
    model = model_of(EvaluateConfig(model=base, device_map=where)).model
    assert told == [where]
    assert {str(p.device) for p in model.parameters()} == {"cpu"}


@pytest.mark.parametrize("where", ["cpuu", "cuda:99", "meta", "everywhere"])
def test_a_device_that_is_not_there_is_refused(base, where):
    with pytest.raises(ConfigError, match=rf"`device_map={where}`.*give|expected one of auto"):
        model_of(EvaluateConfig(model=base, device_map=where))


def test_weights_on_the_disk_are_answered_with_and_not_edited():
    model = tiny_model()
    refuse_uneditable(RepairConfig(model="base", output=Path("out")), model)
    model.lm_head.to("meta")
    refuse_uneditable(EvaluateConfig(model="base"), model)
    with pytest.raises(ConfigError, match=r"lm_head\.weight and others .* lie on the disk"):
        refuse_uneditable(RepairConfig(model="base", output=Path("out")), model)
