"""What the machine code of a user's function depends on: its bytecode, and every value that numba would freeze into it.

numba makes constants of what a function takes from outside: of globals, of the variables of the function around it, of
attributes of modules, and of all that in the functions that it calls. Two functions whose fingerprints agree have the
same machine code, so one is compiled for both.
"""

from __future__ import annotations

import enum
import hashlib
import importlib
import types
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ffprep.kernels.both import InBoth
from ffprep.kernels.jit import Kernel, plain_function
from ffprep.kernels.late import Late
from ffprep.kernels.sources import digest

LARGEST_CONSTANT = 1_000_000
"""Bytes of an array from which on numba reads the array itself instead of making a constant of it."""

_FIXED = ("builtins", "cmath", "math", "numba", "numpy", "operator", "random")
"""Packages whose attributes are what their names say; numba's version is part of its own keys."""


_compiled: weakref.WeakKeyDictionary[Any, Fingerprint] = weakref.WeakKeyDictionary()
"""Fingerprints of compiled functions when they were compiled: what is outside them may have other values since."""


class UnknownError(Exception):
    """A value whose influence on machine code is not known."""


@dataclass
class Fingerprint:
    """What a function's machine code depends on.

    Attributes
    ----------
    parts : list of str
        What can be compared in other processes, too.
    owners : list of object
        What is compared by identity, such as functions that hold addresses of this process.
    """

    parts: list[str] = field(default_factory=list)
    owners: list[Any] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    @property
    def text(self) -> str:
        """A digest of `parts`."""
        return hashlib.sha256("\0".join(self.parts).encode(errors="surrogatepass")).hexdigest()

    @property
    def key(self) -> tuple[str, tuple[int, ...]]:
        """What agrees for functions that have the same machine code, as long as the owners live."""
        return self.text, tuple(id(owner) for owner in self.owners)

    def add_function(self, function: Callable[..., Any]) -> None:
        """Add a function and all that it takes from outside."""
        code: types.CodeType | None = getattr(function, "__code__", None)
        if code is None:
            raise UnknownError(repr(function))
        if self._known(function):
            return
        self.add(getattr(function, "__defaults__", None))
        self.add_named(getattr(function, "__kwdefaults__", None) or {})
        self.add_named(vars(function))
        names = set(self._add_code(code))
        for name, cell in zip(code.co_freevars, getattr(function, "__closure__", None) or (), strict=True):
            try:
                self._add_from_outside(name, cell.cell_contents, names)
            except ValueError:  # nothing was assigned yet
                raise UnknownError(name) from None
        outside: dict[str, Any] = getattr(function, "__globals__", {})
        for name in sorted(names & outside.keys()):
            self._add_from_outside(name, outside[name], names)

    def add_named(self, values: dict[str, Any]) -> None:
        """Add values by name."""
        for name in sorted(values):
            self.parts.append(name)
            self.add(values[name])

    def add(self, value: Any) -> None:
        """Add a value.

        Raises
        ------
        UnknownError
            Two of its kind cannot be told apart.
        """
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, enum.Enum, np.generic, np.dtype)):
            self.parts.append(f"{type(value).__module__}.{type(value).__qualname__} {value!r}")
        elif isinstance(value, tuple):
            self.parts.append(f"{type(value).__module__}.{type(value).__qualname__} {len(value)}")
            for one in value:
                self.add(one)
        elif isinstance(value, np.ndarray) and value.dtype != object and value.nbytes <= LARGEST_CONSTANT:
            flags = value.flags.c_contiguous, value.flags.f_contiguous, value.flags.aligned, value.flags.writeable
            self.parts.append(f"{type(value).__name__} {value.dtype!r} {value.shape} {flags}")
            self.parts.append(hashlib.sha256(value.tobytes()).hexdigest())
        elif isinstance(value, types.CodeType):
            self._add_code(value)
        elif isinstance(value, (list, dict, set, bytearray)):
            raise UnknownError(repr(type(value)))
        else:
            self._add_thing(value)

    def _known(self, thing: Any) -> bool:
        """Return whether something was added before; a reference to it is then enough."""
        known = id(thing) in self._seen
        self._seen.add(id(thing))
        if known:
            self.parts.append("again")
        return known

    def _add_code(self, code: types.CodeType) -> list[str]:
        """Add bytecode; return the names that it and the code within it use."""
        named = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        self.parts.append(f"code {code.co_argcount} {code.co_kwonlyargcount} {code.co_flags} {named}")
        self.parts.append(code.co_code.hex())
        names = list(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                names += self._add_code(constant)
            elif isinstance(constant, frozenset):
                self.parts.append(f"frozenset {sorted(map(repr, constant))}")
            else:
                self.add(constant)
        return names

    def _add_from_outside(self, name: str, value: Any, names: Iterable[str]) -> None:
        self.parts.append(name)
        if isinstance(value, types.ModuleType):
            self._add_module(value, names)
        else:
            self.add(value)

    def _add_module(self, module: types.ModuleType, names: Iterable[str]) -> None:
        """Add a module, and those of its attributes whose names a function uses."""
        self.parts.append(f"module {module.__name__}")
        if module.__name__.partition(".")[0] in _FIXED or self._known(module):
            return
        for name in sorted(set(names) & vars(module).keys()):
            self._add_from_outside(name, vars(module)[name], names)

    def _add_thing(self, thing: Any) -> None:
        """Add a function, a type or anything else that is not a constant."""
        home, name = str(getattr(thing, "__module__", "")), getattr(thing, "__qualname__", None) or ""
        compiled = _compiled.get(thing) if hasattr(thing, "targetoptions") else None
        if isinstance(thing, Kernel):
            self.parts.append(f"kernel {home} {name} {digest(plain_function(thing).__code__.co_filename)}")
        elif isinstance(thing, InBoth) and thing.portable:
            self.parts.append("compiled where it is called")
            self.add_function(plain_function(thing))
        elif isinstance(thing, Late):
            self.owners.append(thing)
        elif compiled is not None:
            self.parts.append(f"compiled {compiled.text}")
            self.owners += compiled.owners
        elif isinstance(thing, types.FunctionType):
            self.add_function(thing)
        elif home.partition(".")[0] in _FIXED and _found(home, name or getattr(thing, "__name__", "")) is thing:
            self.parts.append(f"named {home} {name or thing.__name__}")
        elif home.startswith("numba.core.types"):
            self.parts.append(f"numba {type(thing).__qualname__} {thing!r}")
        else:
            self.owners.append(thing)


def _found(module: str, name: str) -> Any:
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        return None
    return found


def remember(compiled: Any, made: Fingerprint) -> None:
    """Remember the fingerprint of a function that was compiled, for the functions that call it."""
    _compiled[compiled] = made


def fingerprint(function: Callable[..., Any]) -> Fingerprint | None:
    """Return a function's fingerprint, or None if it has a value whose influence on its code is not known."""
    made = Fingerprint()
    try:
        made.add_function(function)
    except (UnknownError, RecursionError):
        return None
    return made
