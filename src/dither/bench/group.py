"""The processes that a launcher (`torchrun`, `accelerate launch`) started to make each run together.

What the first of them says goes through the launcher's store, not through the training's own group, so it is
there before the first run, and on any device.
"""

import json
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

_WAIT = timedelta(minutes=5)
_HEARD = timedelta(seconds=5)


@dataclass(frozen=True)
class Group:
    """This process among those that were started together; alone where there was no launcher.

    Attributes:
        rank: from 0; the first one alone writes and prints.
        size: how many there are.

    Example:
        >>> Group().leads
        True
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> "Group":
        """The group that this process was started in, from the variables that launchers set."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        return cls(int(os.environ["RANK"]), size) if size > 1 and "RANK" in os.environ else cls()

    @property
    def leads(self) -> bool:
        """Whether this process is the first one."""
        return self.rank == 0

    def tell(self, topic: str, value: Any) -> None:
        """Say a JSON value to the others; the first process, once a topic."""
        _store(self).set(topic, json.dumps(value))

    def told(self, topic: str, *, wait: timedelta = _WAIT) -> Any:
        """What the first process says on a topic; waits for it, no longer than `wait`."""
        store = _store(self)
        store.wait([topic], wait)
        return json.loads(store.get(topic))

    def complain(self, text: str) -> None:
        """Print to standard error what ended this process, once for all.

        An error is mostly that of every process, or one process has it and the others miss that one: what is
        said first is the reason. The launcher ends all as soon as one has ended, so the others wait for it.
        """
        if self.size > 1:
            try:
                store = _store(self)
                if store.add("complaints", 1) > 1:
                    store.wait(["complained"], _HEARD)
                    return
                print(text, file=sys.stderr, flush=True)
                store.set("complained", "")
                return
            except RuntimeError:  # the store went with the process that held it: better twice than never
                pass
        print(text, file=sys.stderr, flush=True)


@lru_cache(maxsize=1)
def _store(group: Group) -> Any:
    """The launcher's store, with a corner of it for us."""
    from torch import distributed

    store, _, _ = next(distributed.rendezvous("env://", group.rank, group.size, timeout=_WAIT))
    return distributed.PrefixStore("dither", store)
