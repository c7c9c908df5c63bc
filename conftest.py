"""Modules whose libraries are not installed everywhere are not collected for their examples."""

from importlib.util import find_spec

_NEEDS_TRITON = ["src/dither/core/kernels/cuda.py", "src/dither/core/kernels/device/*.py"]

collect_ignore_glob = [] if find_spec("triton") else _NEEDS_TRITON
