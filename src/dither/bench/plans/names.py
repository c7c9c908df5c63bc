"""What users type as lists: names of tasks and of arms, with their settings, and shares of the data."""

from collections.abc import Sequence

from dither.bench.plans.settings import full_settings
from dither.bench.tasks.variations import base_of, settings_of, spelled


def parse_names(text: str, option: str, *, like: str) -> tuple[str, ...]:
    """Names from comma-separated text, without repeats.

    Args:
        text: as typed.
        option: that it was typed for.
        like: what could stand there, for the message.

    Example:
        >>> parse_names("en,de", "--languages", like="en,de")
        ('en', 'de')
    """
    return _once([name.strip() for name in text.split(",") if name.strip()], text, option, like)


def _once(names: Sequence[str], text: str, option: str, like: str) -> tuple[str, ...]:
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{option} {text!r} must hold one or more names, each once, such as {like}")
    return tuple(names)


def parse_fractions(text: str) -> tuple[float, ...]:
    """Shares of a train split from comma-separated text.

    Raises:
        ValueError: no numbers, one outside (0, 1], or one twice.

    Example:
        >>> parse_fractions("0.1,0.5,1")
        (0.1, 0.5, 1.0)
    """
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--train-fraction {text!r} holds no numbers; write 0.1,0.5,1.0") from None
    for share in shares:
        if not 0 < share <= 1:
            raise ValueError(f"--train-fraction {text}: {share:g} is outside (0, 1]")
        if shares.count(share) > 1:
            raise ValueError(f"--train-fraction {text}: {share:g} stands there twice")
    return shares


def parse_arms(text: str) -> tuple[str, ...]:
    """Methods from comma-separated text, each alone or with settings of its own, in one spelling.

    What follows a method's `@` is its settings, up to the next name of a method.

    Raises:
        ValueError: an unknown method, setting or value, or one arm twice.

    Example:
        >>> parse_arms("none,pats@noise_lambda=0.10,beta=0.98,noisytune")
        ('none', 'pats@noise_lambda=0.1,beta=0.98', 'noisytune')
    """
    arms = [spelled_arm(arm) for arm in _separated(text)]
    return _once(arms, text, "--methods", "none,noisytune")


def parse_tasks(text: str) -> tuple[str, ...]:
    """Tasks from comma-separated text, each alone or with settings of its own.

    Raises:
        ValueError: no task, or one twice.

    Example:
        >>> parse_tasks("glue/rte@epochs=3,batch_size=8,glue/cola")
        ('glue/rte@epochs=3,batch_size=8', 'glue/cola')
    """
    names = _separated(text)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"--tasks {text!r} must hold tasks, each once, such as glue/rte,glue/cola")
    return tuple(names)


def _separated(text: str) -> list[str]:
    """The names in a list, each with the settings that follow its `@`."""
    names: list[str] = []
    for part in filter(None, map(str.strip, text.split(","))):
        if "=" in part and "@" not in part and names:
            names[-1] += f",{part}"
        else:
            names.append(part)
    return names


def spelled_arm(arm: str) -> str:
    """A method with settings in its one spelling.

    Raises:
        ValueError: an unknown method, setting or value.

    Example:
        >>> spelled_arm("noisytune@noise_lambda=0.20")
        'noisytune@noise_lambda=0.2'
    """
    settings = settings_of(arm)
    if "seed" in settings:
        raise ValueError(f"{arm!r}: the seed of a run seeds its noise; choose runs by --seeds")
    full = full_settings(arm, settings)
    return spelled(base_of(arm), {key: full[key] for key in settings})
