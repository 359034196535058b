"""Attack prompts fixed by a hash, before any model is seen.

A prompt that was changed after a model's answers were known is no test of that model. The hash is
of all prompts of all frozen attacks; it stands in the result, and a file of the prompts has it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import ConfigError, InputError
from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.attack import Asked, Attack, Context
from holdfast.evaluation.redteam.registry import ATTACKS
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole

__all__ = ["Frozen", "frozen", "read_frozen"]

VERSION = 1


@dataclass(frozen=True)
class Frozen:
    """The prompts of attacks, by the attack's name, and why an attack has none.

    Attributes:
        prompts: Attack → its prompts, in the order in which they are asked.
        missing: Attack → why it could not be made.
        questions: SHA-256 of the questions that the prompts are made of.
    """

    prompts: Mapping[str, Sequence[Asked]]
    missing: Mapping[str, str]
    questions: str = ""

    @property
    def sha256(self) -> str:
        """SHA-256 of the prompts as canonical JSON, a line each, and of the attacks without any."""
        digest = hashlib.sha256()
        without = [json.dumps({"missing": name}) for name in self.missing]
        for line in (*self._lines(), *without):
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()

    def _lines(self) -> list[str]:
        return [
            json.dumps({"attack": name, **asdict(each)}, sort_keys=True, ensure_ascii=False,
                       separators=(",", ":"))
            for name, asked in self.prompts.items()
            for each in asked
        ]  # fmt: skip

    def save(self, path: Path) -> None:
        """Write the prompts with their hash; the file holds the harmful questions themselves.

        Raises:
            RunError: The file cannot be written.
        """
        rows = [json.loads(line) for line in self._lines()]
        told = {"version": VERSION, "sha256": self.sha256, "missing": dict(self.missing)}
        told["questions"] = self.questions
        write_whole(path, json.dumps({**told, "prompts": rows}, ensure_ascii=False, indent=0))

    def only(self, attacks: Sequence[Attack]) -> "Frozen":
        """Return the prompts of these attacks alone.

        Raises:
            ConfigError: An attack that needs none of the model is not among the frozen ones.
        """
        names = [attack.name for attack in attacks if not attack.adaptive]
        lacking = [name for name in names if name not in self.prompts and name not in self.missing]
        if lacking:
            raise ConfigError(
                f"`frozen` holds no prompts of {', '.join(lacking)}: freeze them too, or leave "
                "them out of `attacks`"
            )
        return Frozen(
            {name: own for name, own in self.prompts.items() if name in names},
            {name: why for name, why in self.missing.items() if name in names},
            self.questions,
        )


def frozen(attacks: Sequence[Attack], items: Sequence[Item], context: Context) -> Frozen:
    """Return the prompts of all attacks that need no model to make them.

    Args:
        attacks: In the order of use; adaptive ones are left out.
        items: The questions; the harmful ones are attacked with.
        context: What attacks are made of beside them.
    """
    harmful = [item for item in items if item.kind == "harmful"]
    prompts: dict[str, Sequence[Asked]] = {}
    missing: dict[str, str] = {}
    for attack in attacks:
        if why := attack.missing(context):
            missing[attack.name] = why
        elif attack.asks is not None:
            prompts[attack.name] = attack.asks(harmful, context)
    return Frozen(prompts, missing, _digest(harmful))


def _digest(items: Sequence[Item]) -> str:
    told = [[item.id, [dict(message) for message in item.prompt]] for item in items]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def read_frozen(path: Path, items: Sequence[Item]) -> Frozen:
    """Return the prompts that ``Frozen.save`` has written, whole and for these questions.

    Raises:
        InputError: The file is missing, is none of these, or was changed since it was written.
        ConfigError: Its prompts are not those of these questions.
    """
    shown = f"`frozen={path}`"
    told = _document(path, shown)
    prompts: dict[str, list[Asked]] = {}
    try:
        for row in told["prompts"]:
            own = {name: value for name, value in row.items() if name != "attack"}
            prompts.setdefault(str(row["attack"]), []).append(Asked(**own))
        missing = {str(k): str(v) for k, v in told["missing"].items()}
        found = Frozen(prompts, missing, str(told["questions"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{shown}: is no file of frozen attack prompts: freeze them again"
        ) from error
    known = set(prompts) | set(missing) <= set(ATTACKS) and not set(prompts) & set(missing)
    if found.sha256 != told.get("sha256") or not known:
        raise InputError(
            f"{shown}: its prompts are not those of its hash: they were changed after they were "
            "frozen; take the file as it was written, or freeze new prompts"
        )
    _check_items(found, items, shown)
    return found


def _document(path: Path, shown: str) -> Any:
    try:
        told = json_in(path)
    except OSError as error:
        raise InputError(f"{shown}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{shown}: is no whole JSON file ({error}): freeze again") from error
    version = told.get("version") if isinstance(told, dict) else None
    if type(version) is not int or version != VERSION:
        raise InputError(f"{shown}: is no file of frozen attack prompts: freeze them again")
    return told


def _check_items(found: Frozen, items: Sequence[Item], shown: str) -> None:
    """Refuse prompts that were made of other questions: verdicts are about the question."""
    harmful = [item for item in items if item.kind == "harmful"]
    wanted = {item.id for item in harmful}
    for name, asked in found.prompts.items():
        if {each.item for each in asked} != wanted:
            raise ConfigError(
                f"{shown}: its prompts of {name!r} are of other harmful questions than those "
                "given: give the file of questions that they were frozen from"
            )
    direct = {each.item: list(each.messages) for each in found.prompts.get("direct", ())}
    for item in items:
        if item.id in direct and direct[item.id] != [dict(message) for message in item.prompt]:
            raise ConfigError(
                f"{shown}: its question {item.id} is not the one that is given: give the file of "
                "questions that they were frozen from"
            )
    if found.questions != _digest(harmful):  # Ids are rows: other files have the same ones.
        raise ConfigError(
            f"{shown}: its prompts are of other harmful questions than those given: give the file "
            "of questions that they were frozen from"
        )
