"""Makes `gpu_cases` importable for the tests beside it, and collects the tests where they can run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from gpu_cases import HAS_GPU, HAS_TRITON, INTERPRETED  # found by the line above

# Without a GPU, test_interpreted.py runs these in a process of its own, in Triton's interpreter.
collect_ignore = (
    []
    if HAS_TRITON and (HAS_GPU or INTERPRETED)
    else ["test_cuda_moments.py", "test_cuda_noise.py", "test_cuda_places.py", "test_cuda_step.py"]
)
