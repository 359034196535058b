"""A second device on a machine that has none: ``pytest -p measurements.stand_in_device``.

Models that commands load lie on it, where they would lie on a GPU.
"""

from pathlib import Path
from tempfile import gettempdir
from types import ModuleType
from typing import Any

import torch
from torch.utils.cpp_extension import load

from holdfast.inputs.loading import device as placing

__all__ = ["DEVICE"]

_HERE = Path(__file__).resolve().parent


def _made() -> torch.device:
    """Compile the device, a minute the first time, and tell torch of it."""
    folder = Path(gettempdir()) / "holdfast-stand-in-device"
    folder.mkdir(exist_ok=True)
    load("stand_in_device", [str(_HERE / "device.cpp")], extra_cflags=["-O1"],
         build_directory=str(folder), is_python_module=False)  # fmt: skip
    torch.utils.rename_privateuse1_backend("standin")
    torch._register_device_module("standin", _module())
    torch.utils.generate_methods_for_privateuse1_backend()
    return torch.device("standin:0")


def _module() -> ModuleType:
    """Return what torch asks of ``torch.standin``: there is one, and its draws are the CPU's."""

    def nothing(*_given: Any) -> None:
        return None

    module = ModuleType("torch.standin")
    answers: dict[str, Any] = {
        "is_available": True, "is_initialized": True, "device_count": 1, "current_device": 0,
        "_is_in_bad_fork": False, "get_amp_supported_dtype": [torch.bfloat16, torch.float16],
    }  # fmt: skip
    for name, answer in answers.items():
        setattr(module, name, lambda answer=answer: answer)
    for name in ("manual_seed", "manual_seed_all", "set_rng_state", "set_device", "synchronize"):
        setattr(module, name, nothing)
    module.get_rng_state = lambda *_given: torch.get_rng_state()  # type: ignore[attr-defined]
    return module


DEVICE = _made()
placing._gpu = lambda: DEVICE  # type: ignore[reportPrivateUsage]
placing.ORGANISM = "no model at all"  # So that the built-in model lies there as any other.
