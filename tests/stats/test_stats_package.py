"""The door of the package: light, and complete."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dither.stats


def test_the_package_is_light_until_it_is_used():
    code = (
        "import sys, dither.stats\n"
        "print({'numpy', 'scipy', 'torch'} & set(sys.modules))\n"
        "dither.stats.analyse\n"
        "print({'scipy.special', 'torch', 'statsmodels', 'pandas', 'scipy.stats'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["set()", "{'scipy.special'}"]


def test_every_public_name_is_there():
    assert set(dither.stats.__all__) <= set(dir(dither.stats))
    assert all(getattr(dither.stats, name) is not None for name in dither.stats.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'bootstrap'; it has Analysis"):
        dither.stats.bootstrap  # noqa: B018
