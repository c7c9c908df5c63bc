"""Noise on checkpoints, out of core: index, plan, stream, publish.

Tensors are read and written block by block, so memory does not grow with the checkpoint, and the result has
the bytes that the same method gives in memory.

Read on in this order: ``headers`` and ``index`` (what the files hold, checked), ``architecture`` (whose
parameters they are), ``plan`` (what is noised), ``stream`` (block by block), ``companions`` and
``publication`` and ``new_file`` (the other files, and all of it at once), ``manifest`` (what was done),
``perturbation`` (the whole of it).
"""

from dither.checkpoint.perturbation import Outcome, perturb_checkpoint, plan_checkpoint, replay_checkpoint
from dither.checkpoint.verification import Verdict, verify_checkpoint

__all__ = [
    "Outcome",
    "Verdict",
    "perturb_checkpoint",
    "plan_checkpoint",
    "replay_checkpoint",
    "verify_checkpoint",
]
