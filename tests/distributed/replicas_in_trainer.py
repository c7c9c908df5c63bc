"""What both processes do in a launch: train with noise, stop and resume, and write down what each sees."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors.torch import save_file
from tiny_trainer import losses, tiny_model, tiny_trainer, weights
from torch import distributed

from dither import PATS, NoisyTune
from dither.integrations.hf_trainer import NoiseCallback

SAVING = {"save_strategy": "steps", "save_steps": 1}
RESUMED_AT = (1, 5, 11)


def trained(folder: Path, *methods: NoisyTune | PATS, resume: Path | None = None) -> None:
    """Train in half batches; leave in the folder what this process has at the end."""
    callback = NoiseCallback(*methods)
    trainer = tiny_trainer(folder, [callback], model=tiny_model(), per_device_train_batch_size=2, **SAVING)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    rank = trainer.args.process_index
    save_file(weights(trainer.model), folder / f"weights-{rank}.safetensors")
    report = {
        "processes": [trainer.args.world_size, distributed.get_world_size()],
        "records": {family: record.to_json() for family, record in callback.records.items()},
        "seen": trainer.data_collator.seen,
        "losses": losses(trainer),
        "history": trainer.state.log_history,
    }
    (folder / f"report-{rank}.json").write_text(json.dumps(report))
    distributed.barrier()


def main(folder: Path) -> None:
    """NoisyTune and PATS in one go, then resumed after some steps."""
    methods = NoisyTune(), PATS(noise_lambda=0.5)
    whole = folder / "whole"
    trained(whole, *methods)
    for step in RESUMED_AT:
        trained(folder / f"resumed-{step}", *methods, resume=whole / f"checkpoint-{step}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
