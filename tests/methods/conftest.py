"""Makes `tiny_models` of the core's tests importable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "core"))
