"""Without a GPU the kernels run in Triton's interpreter, switched on before Triton is imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_cases import HAS_GPU, HAS_TRITON, INTERPRETED


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU: the tests run on it")
@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter's process")
@pytest.mark.skipif(not HAS_TRITON, reason="triton is not installed")
def test_the_kernels_in_the_interpreter() -> None:
    folder = Path(__file__).parent
    names = [str(path) for path in sorted(folder.glob("test_cuda_*.py"))]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *names],
        capture_output=True,
        text=True,
        cwd=folder.parents[1],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.search(r"(\d+) passed", done.stdout)
    assert counts, done.stdout
    assert int(counts[1]) > 40, done.stdout
