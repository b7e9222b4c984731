"""Which vector form of the kernels this process uses.

Where kernels are shipped as machine code (:mod:`ffprep.kernels.shipped`) the processor decides, elsewhere the features
of the CPU that numba compiles for, never the CPU's name: ``NUMBA_CPU_FEATURES``,
``NUMBA_CPU_NAME=generic`` and ``NUMBA_ENABLE_AVX=0`` change them, any other ``NUMBA_CPU_NAME`` leaves the host's.
``FFPREP_SIMD=scalar|avx2|avx512`` asks for a level; it is ignored where the CPU or the LLVM in use does not have that
level. The level "scalar" is written in LLVM's generic vectors and runs on any CPU.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from ffprep.kernels import shipped
from ffprep.kernels.late import LateModule

binding: Any = LateModule("llvmlite.binding")

SCALAR, AVX2, AVX512 = "scalar", "avx2", "avx512"
LEVELS = (AVX512, AVX2, SCALAR)

_NEEDS = {
    SCALAR: frozenset[str](),
    AVX2: frozenset({"avx2", "fma", "f16c"}),
    AVX512: frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vbmi", "avx512vnni"}),
}

# Instructions that a level is built on: (LLVM intrinsic, result, operands, mnemonic). The operands of vpdpbusd are
# those of LLVM before 21; later ones accept and convert them.
_PROBES = {
    AVX2: [
        ("llvm.x86.avx2.pmadd.ub.sw", "<16 x i16>", ["<32 x i8>"] * 2, "vpmaddubsw"),
        ("llvm.x86.avx2.pmadd.wd", "<8 x i32>", ["<16 x i16>"] * 2, "vpmaddwd"),
        ("llvm.x86.avx2.pshuf.b", "<32 x i8>", ["<32 x i8>"] * 2, "vpshufb"),
        ("llvm.x86.avx2.packuswb", "<32 x i8>", ["<16 x i16>"] * 2, "vpackuswb"),
    ],
    AVX512: [
        ("llvm.x86.avx512.pmaddubs.w.512", "<32 x i16>", ["<64 x i8>"] * 2, "vpmaddubsw"),
        ("llvm.x86.avx512.packuswb.512", "<64 x i8>", ["<32 x i16>"] * 2, "vpackuswb"),
        ("llvm.x86.avx512.permvar.qi.512", "<64 x i8>", ["<64 x i8>"] * 2, "vpermb"),
        ("llvm.x86.avx512.vpdpbusd.512", "<16 x i32>", ["<16 x i32>"] * 3, "vpdpbusd"),
    ],
}


@cache
def target_features() -> frozenset[str]:
    """Return the CPU features that numba compiles for, by LLVM's names."""
    from numba.core import config
    from numba.core.codegen import get_host_cpu_features

    text = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return frozenset(f[1:] for f in text.split(",") if f.startswith("+"))


def has_half() -> bool:
    """Return whether a float32 vector becomes float16 by an instruction (elsewhere by integer arithmetic)."""
    machine = binding.get_default_triple().split("-")[0]
    return machine in ("aarch64", "arm64") or "f16c" in target_features()


def _assembles(level: str) -> bool:
    """Return whether this LLVM knows the level's intrinsics and turns each into its instruction.

    An unknown intrinsic is refused by the verifier or left as a call, so asking is safe.
    """
    text = []
    for i, (name, result, operands, _) in enumerate(_PROBES[level]):
        arguments = ", ".join(f"{kind} %a{k}" for k, kind in enumerate(operands))
        text.append(f"declare {result} @{name}({', '.join(operands)})")
        text.append(f"define {result} @probe{i}({arguments}) {{")
        text.append(f"  %r = call {result} @{name}({arguments})\n  ret {result} %r\n}}")
    features = ",".join(f"+{f}" for f in sorted(target_features()))
    binding.initialize_native_target()  # numba does so when it compiles for the first time, which may be later
    binding.initialize_native_asmprinter()
    try:
        module = binding.parse_assembly("\n".join(text))
        module.verify()
        machine = binding.Target.from_default_triple().create_target_machine(features=features, opt=1)
        assembly = machine.emit_assembly(module)
    except RuntimeError:
        return False
    return "call" not in assembly and all(mnemonic in assembly for *_, mnemonic in _PROBES[level])


@cache
def supported(level: str) -> bool:
    """Return whether a level runs here."""
    of_processor = shipped.processor_levels()
    if of_processor is not None:
        return level == SCALAR or level in of_processor
    if not _NEEDS[level] <= target_features():
        return False
    return level == SCALAR or _assembles(level)


def available() -> list[str]:
    """Return the levels that run here, the fastest first."""
    return [level for level in LEVELS if supported(level)]


def current() -> str:
    """Return the level in use: the one ``FFPREP_SIMD`` names where it runs, else the best."""
    asked = os.environ.get("FFPREP_SIMD", "")
    return asked if asked in LEVELS and supported(asked) else available()[0]
