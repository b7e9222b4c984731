"""What can be changed in a source: one comparison, constant, operator, condition or returned value at a time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

# -- Python ------------------------------------------------------------------------------------------------------------

COMPARISONS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"), ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"), ast.BitXor: ("^", "|"), ast.Pow: ("**", "*"),
}  # fmt: skip
LARGEST_CONSTANT = 64
Change = tuple[int, int, bytes]


class _Python(ast.NodeVisitor):
    """Collects what can be changed in a module; texts of errors, annotations and decorators are left alone."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.starts = [0]
        for line in source.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.changes: list[Change] = []

    def span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, (ast.expr, ast.stmt)) and node.end_lineno and node.end_col_offset is not None
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def code(self, node: ast.AST) -> bytes:
        start, end = self.span(node)
        return self.source[start:end]

    def replace(self, node: ast.AST, text: bytes) -> None:
        self.changes.append((*self.span(node), text))

    def operator(self, left: ast.AST, right: ast.AST, old: str, new: str) -> None:
        """Replace the operator between two operands."""
        start, end = self.span(left)[1], self.span(right)[0]
        words = re.escape(old).replace(r"\ ", r"\s+")
        found = re.search(rb"(?<![\w<>=!*/])" + words.encode() + rb"(?![\w<>=*/])", self.source[start:end])
        if found:
            self.changes.append((start + found.start(), start + found.end(), new.encode()))

    def negate(self, test: ast.expr) -> None:
        self.replace(test, b"(not (" + self.code(test) + b"))")

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operation, right in zip(operands, node.ops, operands[1:], strict=False):
            self.operator(left, right, *COMPARISONS[type(operation)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in ARITHMETIC:
            self.operator(node.left, node.right, *ARITHMETIC[type(node.op)])
        if isinstance(node.op, (ast.Add, ast.Sub)):
            self.replace(node, b"(" + self.code(node.left) + b")")
            if isinstance(node.op, ast.Add):
                self.replace(node, b"(" + self.code(node.right) + b")")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if type(node.op) in ARITHMETIC:
            old, new = ARITHMETIC[type(node.op)]
            self.operator(node.target, node.value, f"{old}=", f"{new}=")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
            self.replace(node, b"(" + self.code(node.operand) + b")")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.operator(left, right, old, new)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if value is True or value is False:
            self.replace(node, str(not value).encode())
        elif isinstance(value, int) and value <= LARGEST_CONSTANT:
            self.replace(node, str(value + 1).encode())
            if value > 0:
                self.replace(node, str(value - 1).encode())
        elif isinstance(value, float):
            self.replace(node, repr(value + 1.0).encode())

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
            self.replace(node.func, b"max" if node.func.id == "min" else b"min")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):  # a call for its effect
            self.replace(node, b"None")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self.negate(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.negate(test)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.replace(node.value, b"None")
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None), *node.body):
            self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:  # a decorator's arguments, such as frozen=True, guard against slips in the code itself
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave the text of an error alone."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave text alone; before Python 3.12 the places inside are wrong as well."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Leave assertions alone."""


def python_changes(source: bytes) -> Iterator[Change]:
    visitor = _Python(source)
    tree = ast.parse(source)
    visitor.visit(tree)
    plain = ast.dump(tree)
    for start, end, text in visitor.changes:
        try:
            changed = ast.dump(ast.parse(source[:start] + text + source[end:]))
        except (SyntaxError, ValueError):
            continue
        if changed != plain:
            yield start, end, text


# -- C -----------------------------------------------------------------------------------------------------------------

C_NOISE = re.compile(
    rb'/\*.*?\*/|//[^\n]*|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', re.S | re.M
)
C_BINARY = rb"(?<=[\w)\]] )%s(?= )"
"""An operator between two operands: not that of a pointer or a sign."""
C_SWAPS = (
    (rb"(?<![<>-])<(?![<=])", b"<="),
    (rb"(?<![<-])<=", b"<"),
    (rb"(?<![->])>(?![>=])", b">="),
    (rb"(?<![>-])>=", b">"),
    (rb"==", b"!="),
    (rb"!=", b"=="),
    (rb"&&", b"||"),
    (rb"\|\|", b"&&"),
    (C_BINARY % rb"\+", b"-"),
    (C_BINARY % rb"-", b"+"),
    (C_BINARY % rb"\*", b"+"),
    (C_BINARY % rb"/", b"*"),
    (C_BINARY % rb"%", b"/"),
    (C_BINARY % rb"&", b"|"),
    (C_BINARY % rb"\|", b"&"),
    (rb"<<(?!=)", b">>"),
    (rb">>(?!=)", b"<<"),
    (rb"\+=", b"-="),
    (rb"-=", b"+="),
    (rb"!(?=[\w(])", b""),
    (rb" [+-] \w+(?=[);,\]])", b""),
)
C_NUMBER = re.compile(rb"(?<![\w.])(?:0[xX][0-9a-fA-F]+|\d+)(?![\w.])")
C_TEST = re.compile(rb"\b(?:if|while) \(")


def _closing(source: bytes, start: int) -> int:
    """Return where the parenthesis that opens at `start` closes."""
    depth = 0
    for at in range(start, len(source)):
        depth += {40: 1, 41: -1}.get(source[at], 0)
        if depth == 0:
            return at
    return -1


def c_changes(source: bytes) -> Iterator[Change]:
    """Yield changes of tokens; comments, strings and the preprocessor's lines are left alone."""
    blank = C_NOISE.sub(lambda found: re.sub(rb"[^\n]", b" ", found.group()), source)
    found: list[Change] = []
    for pattern, text in C_SWAPS:
        found += [(m.start(), m.end(), text) for m in re.finditer(pattern, blank)]
    for m in C_NUMBER.finditer(blank):
        value = int(m.group(), 0)
        if value <= 4 * LARGEST_CONSTANT:
            found += [(m.start(), m.end(), str(other).encode()) for other in (value + 1, value - 1) if other >= 0]
    for m in C_TEST.finditer(blank):
        end = _closing(blank, m.end() - 1)
        found.append((m.end() - 1, end + 1, b"(!" + source[m.end() - 1 : end + 1] + b")"))
    yield from sorted(found)


# -- what no test can notice -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Equivalent:
    """Mutants that change nothing anyone can see: the line before and after, as regular expressions, and why."""

    file: str
    line: str
    mutant: str
    why: str


PARSE = "ffprep/jpeg/native/parse"
EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent("ffprep/beton/verify/verify.py", r"bad \+= 1", r"bad (\+= 2|-= 1)", "only whether it is 0 counts"),
    Equivalent(
        "ffprep/beton/opening/check.py",
        r"return pointers\[first\], largest, .*",
        r"return .*\(largest > 1\)",
        "sizes above 0 that differ have a largest one of 2 or more",
    ),
    Equivalent(
        f"{PARSE}/parse.c", r"h->orientation = 1;", r"h->orientation = \d;", "it is set again where the scan begins"
    ),
    Equivalent(
        f"{PARSE}/parse.c",
        r"status = \(marker >= FFP_M_SOF0 &&.*",
        r"status = \(marker > FFP_M_SOF0 &&.*",
        "SOF0 has a case of its own",
    ),
    Equivalent(
        f"{PARSE}/frame.c",
        r"h->hmax = h->vmax = 1;",
        r"h->hmax = h->vmax = 0;",
        "each component raises them to 1 or more",
    ),
    Equivalent(
        f"{PARSE}/frame.c",
        r"if \(!h->sof \|\| n < 1 .*",
        r"if \(!h->sof \|\| n <=? [12] .*",
        "a length of 1 fits no components either",
    ),
)
