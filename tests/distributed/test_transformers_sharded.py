"""transformers' own sharding: the noise of one process, and the callback in its Trainer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers.distributed
from launching import done

SCRIPT = Path(__file__).with_name("transformers_sharded.py")


FIELDS = getattr(getattr(transformers.distributed, "DistributedConfig", None), "__dataclass_fields__", {})


@pytest.mark.skipif("fsdp_size" not in FIELDS, reason="this version of transformers cannot shard by FSDP2")
def test_a_model_that_is_sharded_while_it_is_loaded(stories_dir: Path, tmp_path: Path) -> None:
    out, _ = done(SCRIPT, stories_dir, tmp_path / "out")
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{") and '"rank"' in line]
    assert sorted((one["rank"], one["size"]) for one in found) == [(0, 2), (1, 2)]
    for one in found:
        assert one["fsdp_size"] == {"sharded": 47, "wrong": 0}
        assert one["tp_size"] == {"sharded": 36, "wrong": 0}
        assert one["rms"] == found[0]["rms"]
        assert min(one["rms"]) > 0.0
        assert one["saved"] == ["checkpoint-2/dither.json", "checkpoint-4/dither.json"]
