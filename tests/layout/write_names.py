"""Write the right ``__all__`` into every public module of the package; part of ``make fix``."""

import ast
import textwrap

from tests.layout.sources import SOURCE, expected, imports, is_public, modules

PACKED = "__all__ = [\n{}\n]  # fmt: skip\n"  # One name a line would fill screens.


def with_all(source: str, names: list[str]) -> str:
    """Return the source with ``__all__`` as these names, new ones after the imports."""
    listed = ", ".join(f'"{name}"' for name in names)
    text = f"__all__ = [{listed}]\n"
    if len(text) > 101:
        text = PACKED.format(textwrap.indent(textwrap.fill(f"{listed},", 96), "    "))
    lines, body = source.splitlines(keepends=True), ast.parse(source).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            lines[node.lineno - 1 : node.end_lineno] = [text]
            return "".join(lines)
    heads = (ast.Expr, ast.Import, ast.ImportFrom, ast.If)  # Docstring, imports, TYPE_CHECKING.
    rest = next((n for n, node in enumerate(body) if not isinstance(node, heads)), len(body))
    end = (body[rest - 1].end_lineno or 0) if rest else 0
    lines[end:end] = ["\n", text]
    return "".join(lines)


def main() -> None:
    """Rewrite the modules whose ``__all__`` is not as it has to be."""
    trees = modules()
    found = imports(trees)
    for name in (name for name in trees if is_public(name, trees, found)):
        place = SOURCE.parent / name.replace(".", "/")
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        source = file.read_text()
        if (right := with_all(source, expected(name, trees, found))) != source:
            file.write_text(right)


if __name__ == "__main__":
    main()
