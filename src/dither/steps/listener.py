"""Hearing an optimizer: before and after each step, when its state is asked for, and when it is copied."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

logger = logging.getLogger("dither")

_STATE = "__getstate__"
_REASON = "dither adds its noise outside of compiled code; compile optimizer.step() without fullgraph=True"


class Listener:
    """The hooks of one handle on one optimizer.

    Args:
        optimizer: whose steps are heard; inside compiled code the hooks run uncompiled.
        before: called when a step begins, and again after each call of its closure.
        after: called when it ends.
        write: called before the optimizer's state is read.
        own: names of attributes of ours on the optimizer, which stay behind when it is copied.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        before: Callable[[], None],
        after: Callable[[], None],
        write: Callable[[], None],
        own: tuple[str, ...] = (),
    ) -> None:
        self._optimizer = optimizer
        self._own = {*own, _STATE}
        self._said = False
        self._begun = self._over = 0  # hooks of steps that began, and of such that are over already
        self._before, self._after = before, after
        uncompiled = functools.partial(torch.compiler.disable, reason=_REASON)
        self._hooks: list[Any] = [
            optimizer.register_step_pre_hook(uncompiled(self._begin)),
            optimizer.register_step_post_hook(uncompiled(self._end)),
            optimizer.register_state_dict_pre_hook(uncompiled(lambda *_: write())),
        ]
        setattr(optimizer, _STATE, self._copied)  # torch's copies and pickles leave hooks behind

    def stop(self) -> bool:
        """Hear no more; returns whether it did."""
        heard = bool(self._hooks)
        while self._hooks:
            self._hooks.pop().remove()
        if vars(self._optimizer).get(_STATE) == self._copied:
            delattr(self._optimizer, _STATE)
        return heard

    def _begin(
        self, _: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """A step begins: look at the gradients, and once more when its closure has made others."""
        self._begun, self._over = self._begun + 1, 0
        self._before()
        if callable(kwargs.get("closure")):
            return args, kwargs | {"closure": self._noted(kwargs["closure"])}
        if len(args) > 1 and callable(args[1]):
            return (args[0], self._noted(args[1]), *args[2:]), kwargs
        return None

    def _end(self, *_: Any) -> None:
        """A step is over. Hooks are called twice where a step calls that of the class above: once counts."""
        if self._over:
            self._over -= 1
            return
        self._over, self._begun = max(0, self._begun - 1), 0
        self._after()

    def _noted(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(closure, updated=())
        def called() -> Any:
            loss = closure()
            self._before()
            return loss

        return called

    def _copied(self) -> Any:
        """The state of the optimizer for a copy or a pickle of it, as its class gives it."""
        state = type(self._optimizer).__getstate__(self._optimizer)
        if not self._said:
            self._said = True
            logger.warning(
                "PATS: the optimizer was copied or pickled, and the copy adds no noise until dither.attach "
                "is called with it, its own model and the same settings; it then goes on with the averages"
            )
        is_plain = isinstance(state, dict)
        return {key: one for key, one in state.items() if key not in self._own} if is_plain else state
