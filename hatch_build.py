"""Compiles the CPU kernels into the wheel: one C file, one command, no headers but the system's.

The compiler is Zig's clang, which pip brings for the length of the build: the same library everywhere, and
nothing to install before. Python calls it through ctypes, so one wheel serves every Python on a platform.
Where compiling fails, the wheel is built without the library: the reference in plain torch then does the
work, and says so in every Record.

Environment:
    CC              another compiler, such as "gcc".
    DITHER_TARGET   one of TARGETS, to build a wheel for other machines than this one.
    DITHER_KERNELS  "required" turns a failure into an error, "none" leaves the kernels out.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "src/dither/core/kernels/native/native.c"
LIBRARY = "dither/core/kernels/_native.so"
# No fused multiply-add: the bits of the noise are a promise. Nobody reads traps or errno, whose order would
# forbid vectors.
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
FLAGS += ["-fno-sanitize=all", "-fPIC", "-shared", "-pthread", "-g0", "-s"]
TARGETS = {
    "x86_64-linux-gnu.2.17": "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "aarch64-linux-gnu.2.17": "manylinux_2_17_aarch64.manylinux2014_aarch64",
}


class CompileKernels(BuildHookInterface):
    """The hook that hatchling calls before it packs a wheel, an editable one too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what the wheel is."""
        if self.target_name != "wheel":
            return
        # An installation that is edited in place finds the library beside its source; a wheel's may be for
        # another machine and is kept apart.
        in_place = version == "editable"
        library = Path(self.root, "src", LIBRARY) if in_place else Path(mkdtemp(), "_native.so")
        library.unlink(missing_ok=True)  # never that of an earlier build
        wish = os.environ.get("DITHER_KERNELS", "")
        problem = "left out by DITHER_KERNELS" if wish == "none" else compile_kernels(self.root, library)
        if problem is not None:
            if wish == "required":
                raise RuntimeError(f"the CPU kernels were not built: {problem}")
            self.app.display_warning(f"dither without CPU kernels, which makes its noise slow: {problem}")
            return
        target = os.environ.get("DITHER_TARGET")
        tag = TARGETS[target] if target else sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"
        if not in_place:
            build_data["force_include"][str(library)] = LIBRARY


def compile_kernels(root: str, library: Path) -> str | None:
    """Compile the library; returns what went wrong, or None."""
    compiler = command()
    if compiler is None:
        return "no C compiler was found: pip install ziglang, or install gcc or clang"
    arguments = [*compiler, *FLAGS, SOURCE, "-o", str(library), "-lm"]
    try:
        done = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{shlex.join(compiler)}: {error}"
    if done.returncode or not library.exists():
        return f"{shlex.join(arguments)} failed:\n{done.stderr[-2000:]}"
    return None


def command() -> list[str] | None:
    """The compiler, for the oldest processors of a family: newer ones are recognised at run time."""
    zig = [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") else None
    target = os.environ.get("DITHER_TARGET")
    if target and target not in TARGETS:
        raise ValueError(f"DITHER_TARGET is {target!r}; known: {', '.join(TARGETS)}")
    if wanted := os.environ.get("CC"):
        return shlex.split(wanted)
    if zig is None:
        found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
        return [found] if found and not target else None
    here = f"{platform.machine()}-{platform.system().lower()}-gnu.2.17"
    target = target or (here if here in TARGETS else None)
    return [*zig, "-target", target] if target else [*zig, "-mcpu=baseline"]
