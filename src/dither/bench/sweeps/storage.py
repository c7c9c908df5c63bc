"""Where Optuna's trials lie: a database of this folder, or one that the user names by a URL.

Never a file whose reading runs code (Optuna's pickles and journals), and a URL's user and password are
neither printed nor kept.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import URL

FILE = "study.sqlite"
_LIKE = "such as sqlite:////folder/study.db or postgresql://user:password@host/name"


class StorageError(ValueError):
    """A storage that cannot be used."""


def require_optuna() -> None:
    """Raise ImportError, with what to install, where there is no Optuna."""
    if find_spec("optuna") is None:
        raise ImportError("--search needs Optuna: pip install 'dither[sweep]'")


@contextmanager
def opened_storage(folder: Path, url: str | None) -> "Iterator[RDBStorage]":
    """Open the database of a search, and close it at the end.

    Args:
        folder: in which the database lies where there is no URL; it exists.
        url: of another database, as SQLAlchemy writes it; None for that of the folder.

    Raises:
        ImportError: Optuna is not installed.
        StorageError: the URL is none, or the database cannot be reached or read, now or later on.
    """
    require_optuna()
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parsed = None if url is None else _parsed(url)
    where = f"the database {folder / FILE}" if parsed is None else f"--storage {shown(parsed)}"
    try:
        made = _database(folder / FILE) if parsed is None else optuna.storages.RDBStorage(str(url))
    except (SQLAlchemyError, ImportError, RuntimeError, KeyError, ValueError) as error:
        raise StorageError(f"{where} cannot be used: {_reason(error, parsed)}") from None
    try:
        yield made
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise StorageError(
            f"{where} failed: {_reason(error, parsed)}. Finished runs are kept; the same command goes on"
        ) from None
    finally:
        made.remove_session()
        made.engine.dispose()


def shown(url: "URL") -> str:
    """A URL without what is nobody's business: user, password and query.

    Example:
        >>> from sqlalchemy import make_url
        >>> shown(make_url("postgresql://me:secret@host:5432/name?sslpassword=secret"))
        'postgresql://host:5432/name'
    """
    return (
        type(url)
        .create(url.drivername, host=url.host, port=url.port, database=url.database)
        .render_as_string()
    )


def _parsed(url: str) -> "URL":
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise StorageError(f"--storage is no URL of a database; write one {_LIKE}") from None


def _database(path: Path) -> "RDBStorage":
    """That of a folder. Its path goes past the URL, in which some letters of a path mean something else."""
    import optuna
    from sqlalchemy.pool import NullPool

    options: dict[str, Any] = {"creator": lambda: sqlite3.connect(path), "poolclass": NullPool}
    return optuna.storages.RDBStorage("sqlite://", engine_kwargs=options)


def _reason(error: BaseException, url: "URL | None") -> str:
    """What a database says, without what the URL keeps secret."""
    cause = error.__cause__ if error.__cause__ is not None and not hasattr(error, "orig") else error
    text = str(getattr(cause, "orig", None) or cause).splitlines()[0]
    if url is not None:
        query = [value for values in url.normalized_query.values() for value in values]
        for secret in {str(url.password or ""), url.username or "", *query} - {""}:
            for spelled in (secret, quote(secret), quote_plus(secret)):
                text = re.sub(rf"(?<!\w){re.escape(spelled)}(?!\w)", "***", text)
    return text
