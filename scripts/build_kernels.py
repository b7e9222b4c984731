#!/usr/bin/env python3
"""Compile the kernels to assembly text, from which setup.py builds ``ffprep/kernels/_kernels.so``.

    python scripts/build_kernels.py [--inplace] [--if-stale]

It needs numba, on any x86-64 machine with Linux. The texts go to ``machine/``, one for each level of processors, with
the stamps of the sources that they come from; ``--inplace`` assembles them into this tree, ``--if-stale`` does nothing
where they are up to date. A source distribution carries them, so that building a wheel from it takes a C compiler and
no numba.

What is shipped is declared where it is defined: the arguments of a ``kernel``; the renderers; the functions of all
``ImageOp``; a few functions more below. Each is compiled by numba for a fixed processor, cut down to its native
function, and given a C function that calls this. Nothing of Python and of numba's runtime is left.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MACHINE = ROOT / "machine"
TRIPLE = "x86_64-unknown-linux-gnu"

V2 = "cx16 sahf cmov fxsr mmx popcnt sse sse2 sse3 sse4.1 sse4.2 ssse3"
V3 = f"{V2} avx avx2 bmi bmi2 f16c fma lzcnt movbe xsave"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl avx512vbmi avx512vnni"
LEVELS = {"": ("x86-64-v2", V2), "avx2": ("x86-64-v3", V3), "avx512": ("x86-64-v4", V4)}
"""Level, of ``ffprep.kernels.shipped.LEVELS``, to LLVM's name of a processor and its features."""

ALLOWED = {
    "malloc", "free", "memset", "memcpy", "memmove", "read", "write",
    "exp", "log", "cos", "sin", "sincos", "tan", "pow", "floor", "ceil", "sqrt", "rint", "round", "nearbyint", "fmod",
}  # fmt: skip
"""What the object may need of the C and mathematical libraries."""

Root = tuple[Callable[..., Any], tuple[Any, ...], Any]
"""A function, numba's types of its arguments, and that of its result or None."""


FOR_AVX2 = (
    "ffprep.loader.engine.worker",
    "ffprep.loader.order.permute",
    "ffprep.kernels.resample.fixed.avx2",
    "ffprep.kernels.resample.fixed.generic",
    "ffprep.kernels.resample.unscaled",
    "ffprep.kernels.resample.wide",
    "ffprep.transforms.compiled.",
)
"""Beginnings of the modules whose functions are compiled for AVX2 as well.

They gain by it, or they ask for a fused multiplication and addition where there is one, which rounds once: machine code
for the processor itself, as numba makes it, has it, and what is shipped gives the same bits."""

FOR_AVX512 = ("ffprep.kernels.resample.fixed.avx512", "ffprep.loader.order.permute")
"""The same for AVX-512. The second multiplies numbers of 64 bits, of which this has eight at a time."""


def suits_this_machine() -> bool:
    """Whether what is made here is for this system and processor."""
    return sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 2**32


def kernels() -> Iterator[Root]:
    """The kernels that Python calls and whose arguments are declared."""
    import numpy as np
    from numba import from_dtype, types

    import ffprep
    from ffprep.kernels.jit import Kernel, plain_function

    seen: set[int] = set()
    for found in pkgutil.walk_packages(ffprep.__path__, "ffprep."):
        text = Path(ROOT, *found.name.split(".")).with_suffix(".py")
        if not text.is_file() or "@kernel(" not in text.read_text():
            continue
        for value in vars(importlib.import_module(found.name)).values():
            if not isinstance(value, Kernel) or value.arguments is None or id(value) in seen:
                continue
            seen.add(id(value))
            arguments = []
            for kind in value.arguments:
                dtype, dimensions = kind if isinstance(kind, tuple) else (kind, 0)
                of_element = from_dtype(np.dtype(dtype))
                arguments.append(types.Array(of_element, dimensions, "C") if dimensions else of_element)
            yield plain_function(value), tuple(arguments), None


def entries(level: str) -> Iterator[Root]:
    """The functions that are called by address."""
    from numba.core import sigutils

    import ffprep.transforms
    from ffprep.jpeg import one_image
    from ffprep.kernels.image.job import RUN_SIGNATURE
    from ffprep.kernels.jit import plain_function
    from ffprep.kernels.resample import render
    from ffprep.kernels.simd import level as simd
    from ffprep.loader.engine.targets.arrays import make_array
    from ffprep.loader.engine.targets.records import ENTRIES
    from ffprep.loader.engine.targets.shared import SIGNATURE as TARGET_SIGNATURE
    from ffprep.transforms.compiled import run
    from ffprep.transforms.image import ImageOp

    named: list[tuple[Any, str]] = [
        (render.renderer(name), render.SIGNATURE)
        for name in (
            level or simd.SCALAR,
            *(() if level == simd.AVX512 else (simd.SCALAR, "unscaled", "wide", "exact")),
        )
    ]
    if level != simd.AVX512:
        named += [(run.run_program, RUN_SIGNATURE), (one_image.decode_one, one_image.SIGNATURE)]
        named += [(function, TARGET_SIGNATURE) for function in (*ENTRIES.values(), make_array)]
        todo, names = [ImageOp], set()
        for module in pkgutil.iter_modules(ffprep.transforms.__path__):
            importlib.import_module(f"ffprep.transforms.{module.name}")
        while todo:
            kind = todo.pop()
            todo += kind.__subclasses__()
            if "function" in vars(kind):
                names.add(kind.function)
            names |= set(vars(kind).get("followed", {}).values())
        for module_name, name in sorted(names):
            home = importlib.import_module(f"ffprep.transforms.compiled.{module_name}")
            named.append((getattr(home, name), run.OP_SIGNATURE))
    for function, signature in dict.fromkeys(named):
        arguments, result = sigutils.normalize_signature(signature)
        yield plain_function(function), arguments, result


def native(root: Root, level: str) -> Any:
    """Return an LLVM module with a root's C function and what this calls, everything else internal."""
    import llvmlite.binding as llvm
    import numba
    from numba import types

    from ffprep.kernels import shipped
    from ffprep.kernels.jit import _OPTIONS

    function, arguments, result = root
    dispatcher = numba.jit(**_OPTIONS)(function)
    dispatcher.compile(result(*arguments) if result is not None else arguments)
    compiled = dispatcher.overloads[arguments]
    returned = compiled.signature.return_type
    if returned not in (types.int64, types.none):
        raise SystemExit(f"{function.__qualname__} returns {returned}; what is shipped returns int64 or nothing")
    text = str(compiled.library.get_llvm_str())
    # Arrays come without a count of references, so nothing ever needs to be counted.
    counting = r"^define [^\n]*@(NRT_incref|NRT_decref)\([^\n]*\{\n.*?^\}\n"
    text = re.sub(counting, _without_effect, text, flags=re.MULTILINE | re.DOTALL)
    module = llvm.parse_assembly(text)
    name = compiled.fndesc.mangled_name
    for thing in (*module.functions, *module.global_variables):
        if not thing.is_declaration and thing.name != name:
            thing.linkage = "internal"
    kinds = [str(argument.type) for argument in module.get_function(name).arguments][2:]
    door = llvm.parse_assembly(_door(shipped.symbol(function, level), name, kinds, returned is types.none))
    module.link_in(door)
    module.get_function(name).linkage = "internal"
    return module


def _without_effect(found: re.Match[str]) -> str:
    return f"define linkonce_odr void @{found[1]}(ptr %object) alwaysinline {{\n  ret void\n}}\n"


def _door(symbol: str, name: str, kinds: Sequence[str], nothing: bool) -> str:
    """LLVM's text of the C function: it calls numba's, whose first two arguments receive result and exception."""
    given, passed, lines = [], [], []
    for i, kind in enumerate(kinds):
        given.append(f"{'double' if kind == 'double' else 'i64'} %g{i}")
        if kind in ("i64", "double"):
            passed.append(f"{kind} %g{i}")
        else:
            assert kind == "ptr", kind
            lines.append(f"  %p{i} = inttoptr i64 %g{i} to ptr")
            passed.append(f"ptr %p{i}")
    done = "i64 0" if nothing else "i64 %value"
    return "\n".join(
        [
            f"declare i32 @{name}(ptr, ptr{''.join(', ' + kind for kind in kinds)})",
            f"define i64 @{symbol}({', '.join(given)}) {{",
            "  %result = alloca i64, align 16",
            "  %error = alloca ptr, align 8",
            "  store i64 0, ptr %result",
            "  store ptr null, ptr %error",
            *lines,
            f"  %status = call i32 @{name}({', '.join(['ptr %result', 'ptr %error', *passed])})",
            "  %value = load i64, ptr %result",
            # 0: a value, -2: None; anything else is an exception
            "  %is_value = icmp eq i32 %status, 0",
            "  %is_none = icmp eq i32 %status, -2",
            "  %fine = or i1 %is_value, %is_none",
            f"  %answer = select i1 %fine, {done}, i64 {-(1 << 63)}",
            "  ret i64 %answer",
            "}",
        ]
    )


def compile_level(level: str) -> None:
    """Compile everything for one level; numba has been told its processor by the environment."""
    import llvmlite.binding as llvm
    from numba.core import config

    from ffprep.kernels import shipped
    from ffprep.kernels.simd import level as simd

    processor, features = LEVELS[level]
    assert processor == config.CPU_NAME and simd.target_features() == set(features.split())
    if level:
        assert simd.supported(level), f"this LLVM does not have {level}"
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(TRIPLE)
    extra = ",-prefer-256-bit" if level == "avx512" else ""
    machine = target.create_target_machine(
        cpu=processor, features=config.CPU_FEATURES + extra, opt=3, reloc="pic", codemodel="default"
    )
    whole, symbols = None, []
    chosen: tuple[str, ...] = {"": ("",), "avx2": FOR_AVX2, "avx512": FOR_AVX512}[level]
    roots = [root for root in (*kernels(), *entries(level)) if root[0].__module__.startswith(chosen)]
    for root in roots:
        module = native(root, level)
        symbols.append((root[0].__module__, shipped.symbol(root[0], level)))
        if whole is None:
            whole = module
        else:
            whole.link_in(module)
    assert whole is not None
    for thing in whole.functions:
        if thing.name.startswith("ffp_k_"):
            assert thing.name in {name for _, name in symbols}, thing.name
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    passes.run(whole, builder)
    needed = {f.name for f in whole.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if needed - ALLOWED:
        raise SystemExit(f"the code for {processor} needs {', '.join(sorted(needed - ALLOWED))}")
    for number, thing in enumerate((*whole.functions, *whole.global_variables)):
        if thing.linkage.name == "internal":
            thing.name = f"ffp_{number}"  # numba's names are long, and hold addresses
    (MACHINE / f"{level or 'any'}.s").write_text(machine.emit_assembly(whole))
    for module_name in sorted({name for name, _ in symbols}):
        print(module_name)


def compile_all() -> None:
    """Compile every level in a process of its own, all at once, and write the stamps."""
    MACHINE.mkdir(exist_ok=True)
    (MACHINE / "stamps.c").unlink(missing_ok=True)
    before = sources()
    started = []
    for level, (processor, features) in LEVELS.items():
        environment = {
            **os.environ,
            "NUMBA_CPU_NAME": processor,
            "NUMBA_CPU_FEATURES": ",".join(f"+{name}" for name in features.split()),
            # pip gives its build environment by this variable, too
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
        command = [sys.executable, str(Path(__file__).resolve()), "--level", level or "any"]
        started.append(subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True))
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("the kernels were not compiled")
    if sources() != before:
        raise SystemExit("sources changed while the kernels were compiled: run this again")
    (MACHINE / "stamps.c").write_text(stamps_text({name for text in printed for name in text.split()}))


def sources() -> dict[Path, bytes]:
    """Return the texts that the kernels are compiled from."""
    return {file: file.read_bytes() for file in sorted(ROOT.joinpath("ffprep").rglob("*.py"))}


def module_file(name: str) -> Path:
    """Return where a module's source is; there is none if it was moved."""
    return ROOT.joinpath(*name.split(".")).with_suffix(".py")


def stamps_text(modules: set[str]) -> str:
    """C source of the stamps: for each module the digest of what its functions depend on."""
    sys.path.insert(0, str(ROOT))
    from ffprep.kernels.sources import digest

    lines = [f'    "{name} {digest(str(module_file(name)))}\\n"' for name in sorted(modules)]
    return "\n".join(
        [
            "/* Made by scripts/build_kernels.py: modules with functions here, and the digests of their sources. */",
            "const char ffp_kernels_stamps[];",
            "const char ffp_kernels_stamps[] =",
            *lines,
            '    "";',
            "",
        ]
    )


def up_to_date() -> bool:
    """Whether the texts are there and come from the sources as they are."""
    stamps = MACHINE / "stamps.c"
    texts = [MACHINE / f"{level or 'any'}.s" for level in LEVELS]
    if not all(path.is_file() for path in (stamps, *texts)):
        return False
    text = stamps.read_text()
    modules = set(re.findall(r'"(ffprep[\w.]+) ', text))
    return all(map(Path.is_file, map(module_file, modules))) and stamps_text(modules) == text


def main() -> None:
    """Compile, and assemble."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inplace", action="store_true", help="assemble them into this tree, too")
    parser.add_argument("--if-stale", action="store_true", help="leave texts that are up to date")
    parser.add_argument("--level", choices=["any", *filter(None, LEVELS)], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.environ.get("FFPREP_KERNELS") == "jit":
        return
    if not suits_this_machine():
        print("the kernels' machine code is for Linux on x86-64; here numba compiles them when they are first used")
        return
    if options.level:
        compile_level(options.level.replace("any", ""))
        return
    if not (options.if_stale and up_to_date()):
        compile_all()
    if options.inplace:
        subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
