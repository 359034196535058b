"""The file of Mods_Rob: it comes back, and what is not of this model or format is refused."""

import json

import pytest

from holdfast.analysis.modules.robust_modules import SCHEMA_VERSION, ModuleAt, RobustModules, Trial
from holdfast.errors import InputError, ModelError
from tests.tiny import LAYERS, tiny_model

ROLES = ["q", "k", "v", "o", "gate", "up", "down"]


def listed(*pairs, **changes):
    modules = [ModuleAt(layer=layer, role=role) for layer, role in pairs]
    figures = {"layers": LAYERS, "roles": ROLES, "architecture": "llama"}
    return RobustModules(**{**figures, "modules": modules, **changes})


FULL = listed(
    (0, "q"), (1, "down"), rho=0.4, tau=0.3, whole=2.5, seeds=[1, 2], probe_sha256="ab",
    trace=[Trial(module=ModuleAt(layer=1, role="down"), score=0.1 + 0.2, kept=True)],
    warnings=["doubtful"], model="organism", method="noise", score="drift", holdfast="0.1",
)  # fmt: skip


def test_a_round_trip(tmp_path):
    path = FULL.save(tmp_path / "new" / "robust_modules.json")
    assert RobustModules.load(path) == FULL
    assert RobustModules.load(str(path)).pairs == {(0, "q"), (1, "down")}
    assert [f.name for f in path.parent.iterdir()] == ["robust_modules.json"]


def test_the_same_list_is_the_same_file(tmp_path):
    one, two = FULL.save(tmp_path / "a"), RobustModules.load(tmp_path / "a").save(tmp_path / "b")
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "no list of robust modules"),
        (b'{"probe": {}}', "no list of robust modules"),
        (b'{"schema_version": true}', "no list of robust modules"),
        (b'{"schema_version": 1, "roles": [], "modules": []}', "layers: .*holdfast analyze"),
        (b'{"schema_version": 1, "layers": 2, "roles": [], "modules": [{"layer": "x"}]}', "layer"),
    ],
)
def test_another_file_is_refused(tmp_path, content, said):
    path = tmp_path / "robust.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        RobustModules.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            RobustModules.load(path)


def test_a_newer_schema_is_refused(tmp_path):
    document = json.loads(FULL.model_dump_json()) | {"schema_version": SCHEMA_VERSION + 1, "new": 1}
    path = tmp_path / "robust.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="upgrade holdfast"):
        RobustModules.load(path)


class TestCheck:
    def test_its_own_model_passes(self):
        listed((0, "q"), (1, "down")).check(tiny_model())
        listed((0, "q"), architecture="").check(tiny_model("qwen2"))
        listed((0, "q"), architecture="gemma3").check(tiny_model("gemma3"))
        listed((0, "up"), architecture="opt").check(tiny_model("opt"))
        listed((0, "k"), architecture="gpt_neox").check(tiny_model("gpt_neox"))

    @pytest.mark.parametrize(
        ("given", "arch", "said"),
        [
            (listed((0, "q"), layers=3), "llama", "3 layers and this one has 2"),
            (listed((0, "q"), (1, "qkv")), "llama", "qkv of layer 1"),
            (listed((5, "q")), "llama", "q of layer 5"),
            (listed((0, "q")), "qwen2", "a llama model and this one is qwen2"),
            (listed((0, "gate"), architecture="opt"), "opt", "gate of layer 0"),
            (listed((0, "qkv"), architecture="gpt_neox"), "gpt_neox", "qkv of layer 0"),
        ],
    )
    def test_another_model_is_refused(self, given, arch, said):
        with pytest.raises(ModelError, match=said):
            given.check(tiny_model(arch))
