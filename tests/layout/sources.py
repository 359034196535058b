"""The package as its sources tell it: who imports whom, and which names each module gives."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "holdfast"
Imports = Mapping[str, set[tuple[str, str]]]
"""Module → (module, name) for all that it imports from the package; no name for a whole module."""


def modules(source: Path = SOURCE) -> dict[str, ast.Module]:
    """Return every module of the package by its full name."""
    found: dict[str, ast.Module] = {}
    for file in sorted(source.rglob("*.py")):
        parts = (source.name, *file.relative_to(source).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = ast.parse(file.read_text())
    return found


def imports(trees: Mapping[str, ast.Module]) -> Imports:
    """Return what each module imports of the package, inside functions too."""
    return {name: set(_imported(tree, trees)) for name, tree in trees.items()}


def _imported(tree: ast.Module, known: Mapping[str, ast.Module]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for name in (alias.name for alias in node.names):
                if f"{node.module}.{name}" in known:
                    yield f"{node.module}.{name}", ""
                elif node.module in known:
                    yield node.module, name
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in known)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            texts = (str(a.value) for a in node.args if isinstance(a, ast.Constant))
            yield from ((text, "") for text in texts if text in known)


def circles(found: Imports) -> list[list[str]]:
    """Return the groups of modules that can reach one another: none, in a good house."""
    looks = {name: {to for to, _ in targets} - {name} for name, targets in found.items()}
    reach = {name: _reached(name, looks) for name in looks}
    groups = {frozenset(n for n in reach[name] if name in reach[n]) for name in looks}
    return sorted(sorted(group) for group in groups if group)


def _reached(start: str, looks: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = set(looks[start])
    while ahead:
        seen |= ahead
        ahead = set[str]().union(*(looks[name] for name in ahead)) - seen
    return seen


def room(module: str) -> str:
    """Return the folder or file right under the package; the package itself for its names.

    ``__main__`` is the package, started by its name.
    """
    module = module.removesuffix(".__main__")
    return module.split(".")[1] if "." in module else module


def levels(page: str) -> list[list[str]]:
    """Return the rooms of the map's picture, from the top; a line of names is one level."""
    picture = page.partition("```")[2].partition("```")[0]
    return [names for line in picture.splitlines() if (names := re.findall(r"[a-z]+", line))]


def upward(found: Imports, order: list[list[str]]) -> list[str]:
    """Return every import that does not lead down, in words."""
    depth = {name: number for number, names in enumerate(order) for name in names}
    wrong = {
        f"{name} imports {to}, but {room(to)} is not below {room(name)} in docs/map.md"
        for name, targets in found.items()
        for to, _ in targets
        if room(name) != room(to) and depth.get(room(to), 99) <= depth.get(room(name), 0)
    }
    return sorted(wrong)


def crowded(source: Path = SOURCE, most: int = 14) -> list[str]:
    """Return the folders with more than ``most`` modules; ``defenses`` has one folder for each."""
    counts: dict[Path, int] = defaultdict(int)
    for file in source.rglob("*.py"):
        counts[file.parent] += file.name != "__init__.py"
    return sorted(
        f"{folder.name}: {n}" for folder, n in counts.items()
        if n > most and folder != source / "defenses"
    )  # fmt: skip


def lengthy(trees: Mapping[str, ast.Module], most: int = 50) -> list[str]:
    """Return the functions of more than ``most`` lines, signature and docstring among them."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [
        f"{module}.{node.name}: {lines}"
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, kinds)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > most
    ]  # fmt: skip


def defined(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return the public (functions and classes, constants and aliases) of a module's top level."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    made = {node.name for node in tree.body if isinstance(node, kinds)}
    named = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for aim in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for target in (aim.elts if isinstance(aim, ast.Tuple) else [aim])
        if isinstance(target, ast.Name)
    }  # fmt: skip
    return {n for n in made if n[0] != "_"}, {n for n in named if n[0] != "_"}


def exported(tree: ast.Module) -> list[str] | None:
    """Return the module's ``__all__``, or None where it has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


def by_kind(name: str) -> tuple[int, str]:
    """Return the key that sorts ``__all__``: constants, then classes, then functions."""
    constant = name.isupper() and len(name) > 1
    return 0 if constant else 1 if name[0].isupper() else 2, name


def is_public(name: str, trees: Mapping[str, ast.Module], found: Imports) -> bool:
    """Tell whether a module needs ``__all__``: it defines names, and they are for others.

    A method's modules are seen through its folder's ``__init__``; a module from which nobody in the
    package takes a name, such as a command, is an end of its own.
    """
    taken = any(to == name for targets in found.values() for to, _ in targets)
    of_a_method = name.startswith("holdfast.defenses.") and name.count(".") > 2
    return exported(trees[name]) is not None or bool(
        defined(trees[name])[0] and taken and not of_a_method
    )


def expected(name: str, trees: Mapping[str, ast.Module], found: Imports) -> list[str]:
    """Return what a public module's ``__all__`` has to hold, sorted.

    Every public function and class that it defines, each constant or alias that another module
    takes from it, and what else it lists already: names that a package gives again.
    """
    made, named = defined(trees[name])
    taken = {what for targets in found.values() for to, what in targets if to == name}
    return sorted(made | named & taken | set(exported(trees[name]) or ()), key=by_kind)
