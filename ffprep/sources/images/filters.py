"""Conditions on the rows of a table, written as ``column=value`` or as an expression; nothing of them is executed.

An expression has columns, numbers, strings, True, False and None, lists of these, ``== != < <= > >= in not in``,
``and``, ``or``, ``not`` and parentheses: ``label in ('cat', 'dog') and width >= 224``.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ffprep.errors import OptionError, SourceError

_LONGEST = 10_000
_PLAIN = re.compile(r"([^=<>!'\"()]*[^=<>!'\"()\s])\s*=(?!=)\s*(.*)", re.DOTALL)
"""Of a text without spaces around it: with these in the pattern, it takes seconds to find that many fit nothing."""
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class RowFilter:
    """One condition.

    Parameters
    ----------
    text : str

    Attributes
    ----------
    columns : list of str
        The columns that it names.

    Raises
    ------
    OptionError
        The text is no such condition.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.columns: list[str] = []
        self._constants: dict[ast.expr, Any] = {}
        if len(text) > _LONGEST:
            raise OptionError(f"--filter: a condition has at most {_LONGEST:,} characters")
        plain = _PLAIN.fullmatch(text.strip())
        if plain is not None:
            self._tree: ast.expr = ast.Compare(_column(plain[1]), [ast.Eq()], [ast.Constant(_unquoted(plain[2]))])
        else:
            try:
                self._tree = ast.parse(text.strip(), mode="eval").body
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                raise self._wrong(f"it cannot be read ({getattr(error, 'msg', 'nested too deep')})") from None
        try:
            self._check(self._tree)
        except RecursionError:
            raise self._wrong("it is nested too deep") from None

    def _wrong(self, reason: str) -> OptionError:
        return OptionError(
            f"--filter {self.text[:200]!r}: {reason}; write COLUMN=VALUE, or an expression such as "
            "\"label in ('cat', 'dog') and width >= 224\""
        )

    def _check(self, node: ast.expr) -> None:
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                self._check(value)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._check(node.operand)
        elif isinstance(node, ast.Compare):
            for operand in (node.left, *node.comparators):
                self._operand(operand)
            for op, right in zip(node.ops, node.comparators, strict=True):
                if isinstance(op, (ast.Is, ast.IsNot)):
                    raise self._wrong("'is' is not known; == compares with None, too")
                if isinstance(op, (ast.In, ast.NotIn)) and not isinstance(right, (ast.List, ast.Tuple, ast.Set)):
                    raise self._wrong("'in' asks for a list of values")
        elif self._name(node) is None:
            raise self._wrong(f"{_shown(node)} is no comparison")

    def _operand(self, node: ast.expr) -> None:
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            self._constants[node] = [_constant(value, self) for value in node.elts]
        elif self._name(node) is None:
            self._constants[node] = _constant(node, self)

    def _name(self, node: ast.expr) -> str | None:
        """The column that a node names, which is thereby known to be needed."""
        name = _dotted(node)
        if name is not None and name not in self.columns:
            self.columns.append(name)
        return name

    def rows(
        self,
        columns: Mapping[str, Sequence[Any]],
        classes: Mapping[str, Sequence[str]],
        count: int,
        where: Callable[[int], str] = "row {:,}".format,
    ) -> list[int]:
        """Numbers of the rows that fulfil the condition.

        Parameters
        ----------
        columns : mapping of str to sequence
            The values of the columns that the condition names. A comparison with None, but for ``==`` and ``!=``, is
            false.
        classes : mapping of str to sequence of str
            For columns of class numbers the names of the classes, with which strings are compared.
        count : int
            Number of rows.
        where : callable
            Names a row in messages.

        Raises
        ------
        OptionError
            A string is none of the column's classes.
        SourceError
            A value cannot be compared; the message names the row.
        """
        self._known(self._tree, classes)
        found = []
        for row in range(count):
            values = {name: column[row] for name, column in columns.items()}
            try:
                if self._holds(self._tree, values, classes):
                    found.append(row)
            except (TypeError, RecursionError) as error:
                raise SourceError(f"{where(row)}: --filter {self.text[:200]!r}: {error}") from None
        return found

    def _known(self, tree: ast.expr, classes: Mapping[str, Sequence[str]]) -> None:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Compare):
                continue
            operands = [node.left, *node.comparators]
            constants = [c.value for operand in operands for c in ast.walk(operand) if isinstance(c, ast.Constant)]
            texts = {value: None for value in constants if isinstance(value, str)}
            for name in dict.fromkeys(filter(None, map(_dotted, operands))):
                for text in texts:
                    if name in classes and text not in classes[name] and not _is_number(text):
                        raise OptionError(
                            f"--filter {self.text[:200]!r}: {name} has no class {text!r}; there are "
                            f"{', '.join(classes[name])}"[:1000]
                        )

    def _holds(self, node: ast.expr, values: Mapping[str, Any], classes: Mapping[str, Sequence[str]]) -> bool:
        if isinstance(node, ast.BoolOp):
            every = all if isinstance(node.op, ast.And) else any
            return every(self._holds(value, values, classes) for value in node.values)
        if isinstance(node, ast.UnaryOp):
            return not self._holds(node.operand, values, classes)
        if not isinstance(node, ast.Compare):
            return bool(self._value(node, values))
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            names = classes.get(_dotted(left) or _dotted(right) or "")
            if isinstance(op, (ast.In, ast.NotIn)):
                one = self._value(left, values)
                inside = any(_compared(operator.eq, one, item, names) for item in self._value(right, values))
                held = inside == isinstance(op, ast.In)
            else:
                held = _compared(_COMPARE[type(op)], self._value(left, values), self._value(right, values), names)
            if not held:
                return False
            left = right
        return True

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        return self._constants[node] if node in self._constants else values[_dotted(node) or ""]


def _compared(op: Callable[[Any, Any], bool], left: Any, right: Any, names: Sequence[str] | None) -> bool:
    if names is not None:
        left, right = _class_name(left, right, names), _class_name(right, left, names)
    left, right = _alike(left, right), _alike(right, left)
    if left is None or right is None:
        if op is operator.eq:
            return left is right
        return op is operator.ne and left is not right
    return bool(op(left, right))


def _class_name(value: Any, other: Any, names: Sequence[str]) -> Any:
    """The name of a class that is compared with a text, unless this is a number and no class."""
    if not isinstance(other, str) or (other not in names and _is_number(other)):
        return value
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _alike(value: Any, other: Any) -> Any:
    """A text as a number where it is compared with one, since tables of text have no other numbers."""
    if isinstance(value, str) and isinstance(other, (int, float)):
        text = value.strip()
        if not text:
            return None
        if text.lower() in ("true", "false") and isinstance(other, bool):
            return text.lower() == "true"
        try:
            return float(text) if not text.lstrip("+-").isdigit() else int(text)
        except ValueError:
            raise TypeError(f"{value[:80]!r} is no number") from None
    return value


def _shown(node: ast.expr) -> str:
    try:
        return ast.unparse(node)[:80]
    except ValueError:  # Python does not write numbers of thousands of digits
        return "a huge number"


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _is_number(text: str) -> bool:
    return text.lstrip("+-").isdigit()


def _column(name: str) -> ast.expr:
    node: ast.expr
    first, *others = name.split(".")
    node = ast.Name(first)
    for part in others:
        node = ast.Attribute(node, part)
    return node


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return None if base is None else f"{base}.{node.attr}"
    return None


def _constant(node: ast.expr, owner: RowFilter) -> Any:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _constant(node.operand, owner)
        if isinstance(value, (int, float)):
            return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, type(None))):
        return node.value
    raise owner._wrong(f"{_shown(node)} is neither a column nor a plain value")
