#!/usr/bin/env python3
"""Check the package's architecture: which room imports which, circles, deferred imports, sizes of files and folders.

    python scripts/check_architecture.py [ROOT]

``layers.toml`` in the root declares the layers; docs/architecture.md explains them. Nothing of the package is imported:
its source is parsed. Every violation is printed as ``file:line: rule: what is wrong``, and the exit status is 1 if
there is one.

arrow       a room imports only rooms below its own
circle      no module imports itself by way of others; imports that only type checkers see are looked at apart
deferred    an import inside a function defers a package that is slow to import or optional
size        no source file is longer, and no folder fuller, than the table allows
door        a module that only re-exports others does nothing else
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OTHERS = "*"
"""In a list of layers: every module that the list does not name, in no order among themselves."""


@dataclass(frozen=True)
class Import:
    """One import statement's module, as seen from the module that has the statement."""

    module: str
    """The module or package that is imported, as a dotted name."""
    line: int
    deferred: bool
    """Whether the statement stands in a function."""
    typing: bool
    """Whether only type checkers see it."""


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    tree: ast.Module
    is_package: bool
    imports: list[Import] = field(default_factory=list)


@dataclass(frozen=True, order=True)
class Violation:
    path: Path
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


def load_modules(root: Path, package: str) -> dict[str, Module]:
    """All modules of the package by dotted name, with what they import."""
    modules = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, path.relative_to(root), ast.parse(path.read_text(), str(path)), is_package)
    for module in modules.values():
        module.imports.extend(_imports(module, modules))
    return modules


def _imports(module: Module, modules: Mapping[str, Module]) -> Iterator[Import]:
    def visit(node: ast.AST, deferred: bool, typing: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, deferred, typing)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = module.name.split(".")[: (1 if module.is_package else 0) - node.level or None]
                base = ".".join([*up, *([base] if base else [])])
            for name in dict.fromkeys(
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base for alias in node.names
            ):
                yield Import(name, node.lineno, deferred, typing)
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            for child in node.body:
                yield from visit(child, deferred, True)
            for child in node.orelse:
                yield from visit(child, deferred, typing)
        else:
            inside = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inside, typing)

    return visit(module.tree, False, False)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


class Layers:
    """The order of the children of one package, from bottom to top."""

    def __init__(self, package: str, levels: Sequence[str]) -> None:
        self.package = package
        self._rank: dict[str, int] = {}
        self._others: int | None = None
        for rank, level in enumerate(levels):
            for name in (part.strip() for part in level.split("|")):
                if name == OTHERS:
                    self._others = rank
                else:
                    self._rank[name] = rank

    def names(self) -> list[str]:
        return list(self._rank)

    def rank(self, child: str) -> int | None:
        """Height of a child; None if the list does not place it."""
        return self._rank.get(child, self._others)

    def complaint(self, child: str, target: str) -> str | None:
        """What is wrong with an import of one child by another; None if nothing is."""
        own, other = self.rank(child), self.rank(target)
        if own is None or other is None:
            unknown = child if own is None else target
            return f"{self.package}.{unknown} has no place in layers.toml"
        if other > own:
            return f"{self.package}.{target} lies above {self.package}.{child}"
        if other == own and own != self._others:
            return f"{self.package}.{target} and {self.package}.{child} are on one level and must not know each other"
        return None


def check_arrows(modules: Mapping[str, Module], table: Mapping[str, Any]) -> Iterator[Violation]:
    """Imports that lead upwards or sideways, wherever they stand."""
    layers = {package: Layers(package, levels) for package, levels in table["layers"].items()}
    for package in layers.values():
        for name in package.names():
            if name != "__init__" and f"{package.package}.{name}" not in modules:
                yield Violation(Path("layers.toml"), 1, "arrow", f"{package.package}.{name} does not exist")
    for module in modules.values():
        for found in module.imports:
            if found.module not in modules:
                continue
            pair = _parted(module.name, found.module, layers)
            if pair is None:
                continue
            package, child, target = pair
            complaint = layers[package].complaint(child, target)
            if complaint:
                yield Violation(module.path, found.line, "arrow", f"imports {found.module}: {complaint}")
        for room, allowed in table.get("only", {}).items():
            if not f"{module.name}.".startswith(f"{room}."):
                continue
            for found in module.imports:
                inside = any(f"{found.module}.".startswith(f"{name}.") for name in (room, *allowed))
                if found.module in modules and not inside:
                    message = f"imports {found.module}: {room} may import only {', '.join(allowed)}"
                    yield Violation(module.path, found.line, "arrow", message)


def _parted(a: str, b: str, layers: Mapping[str, Layers]) -> tuple[str, str, str] | None:
    """The package at which the ways to two modules part, and its children on these ways; None without a list for it.

    The package's own ``__init__`` is the child of that name.
    """
    left, right = a.split("."), b.split(".")
    common = 0
    while common < min(len(left), len(right)) and left[common] == right[common]:
        common += 1
    package = ".".join(left[:common])
    if a == b or package not in layers:
        return None
    return (
        package,
        left[common] if common < len(left) else "__init__",
        right[common] if common < len(right) else "__init__",
    )


def check_circles(modules: Mapping[str, Module]) -> Iterator[Violation]:
    """Circles of imports at module level, and circles that only type checkers see."""
    runtime = {
        name: {i.module for i in module.imports if not i.deferred and not i.typing and i.module in modules}
        for name, module in modules.items()
    }
    with_types = {
        name: {i.module for i in module.imports if not i.deferred and i.module in modules}
        for name, module in modules.items()
    }
    at_runtime = _circles(runtime)
    for circle in at_runtime:
        yield _circle(circle, modules, runtime, "circle", "")
    for circle in _circles(with_types):
        if not any(set(circle) == set(known) for known in at_runtime):
            yield _circle(circle, modules, with_types, "circle", ", with imports for type checkers")


def _circle(
    members: Sequence[str], modules: Mapping[str, Module], graph: Mapping[str, set[str]], rule: str, note: str
) -> Violation:
    way = _way_round(members, graph)
    first = modules[way[0]]
    line = next(i.line for i in first.imports if i.module == way[1])
    return Violation(first.path, line, rule, " -> ".join(way) + note)


def _way_round(members: Sequence[str], graph: Mapping[str, set[str]]) -> list[str]:
    """A shortest way from the first of a circle's modules back to itself."""
    start = min(members)
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for following in sorted(graph[way[-1]] & set(members)):
            if following == start:
                return [*way, start]
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    raise AssertionError("not a circle")


def _circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected sets of more than one module, or of one that imports itself (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            members = stack[stack.index(name) :]
            del stack[-len(members) :]
            if len(members) > 1 or name in graph[name]:
                found.append(sorted(members))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def check_deferred(modules: Mapping[str, Module], table: Mapping[str, Any]) -> Iterator[Violation]:
    """Imports inside functions that put nothing off: no package of the table that the module does not load anyway."""
    slow = set(table["deferred"]["packages"])
    excused = table["deferred"].get("exceptions", {})
    loads: dict[str, set[str]] = {}

    def loaded(name: str) -> set[str]:
        """Packages of the table that importing one of our modules loads, itself and what it imports."""
        if name not in loads:
            loads[name] = set()
            for found in modules[name].imports:
                if not found.deferred and not found.typing:
                    loads[name] |= loaded(found.module) if found.module in modules else {found.module.split(".")[0]}
            loads[name] &= slow
        return loads[name]

    for module in modules.values():
        for found in module.imports:
            if not found.deferred or any(f"{module.name}.".startswith(f"{room}.") for room in excused):
                continue
            puts_off = loaded(found.module) if found.module in modules else {found.module.split(".")[0]} & slow
            if not puts_off:
                message = f"{found.module} is imported inside a function and loads nothing slow or optional"
                yield Violation(module.path, found.line, "deferred", message)
            elif puts_off <= loaded(module.name):
                names = ", ".join(sorted(puts_off))
                message = f"{found.module} is imported inside a function, but this module loads {names} anyway"
                yield Violation(module.path, found.line, "deferred", message)


def check_sizes(root: Path, package: str, table: Mapping[str, Any]) -> Iterator[Violation]:
    """Files that are too long and folders that are too full."""
    limits = table["sizes"]

    def below(folder: str) -> list[Path]:
        return sorted(p for p in (root / folder).rglob("*") if p.suffix in {".py", ".c", ".h"})

    files = below(package)
    for path in [*files, *(p for folder in limits.get("beside", []) for p in below(folder))]:
        lines = path.read_bytes().count(b"\n")
        if lines > limits["lines"]:
            where = path.relative_to(root)
            yield Violation(where, lines, "size", f"{lines} lines, {limits['lines']} are allowed")
    for folder in sorted({path.parent for path in files}):
        count = sum(1 for path in files if path.parent == folder and path.name != "__init__.py")
        where = folder.relative_to(root)
        if count > limits["modules"] and not limits.get("exceptions", {}).get(where.as_posix()):
            yield Violation(where, 1, "size", f"{count} modules, {limits['modules']} are allowed without a reason")


def check_doors(modules: Mapping[str, Module], table: Mapping[str, Any]) -> Iterator[Violation]:
    """Modules that only re-export others, and yet hold code of their own."""
    for name in table["doors"]["modules"]:
        if name not in modules:
            yield Violation(Path("layers.toml"), 1, "door", f"{name} does not exist")
            continue
        for node in modules[name].tree.body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_all = isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["__all__"]
            if not (is_docstring or is_all or isinstance(node, ast.Import | ast.ImportFrom)):
                yield Violation(modules[name].path, node.lineno, "door", f"{name} only re-exports, and this is code")


def check(root: Path) -> list[Violation]:
    """All violations of the rules that ``layers.toml`` in the root declares."""
    table = tomllib.loads((root / "layers.toml").read_text())
    package = table["package"]
    modules = load_modules(root, package)
    return sorted(
        [
            *check_arrows(modules, table),
            *check_circles(modules),
            *check_deferred(modules, table),
            *check_sizes(root, package, table),
            *check_doors(modules, table),
        ]
    )


def main(arguments: Sequence[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    violations = check(root)
    for violation in violations:
        print(violation)
    if violations:
        print(f"{len(violations)} violations of the architecture that layers.toml declares")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
