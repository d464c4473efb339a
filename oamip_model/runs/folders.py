"""The folder of a run."""

from __future__ import annotations

from pathlib import Path

from oamip_model.errors import InputError


def make_folder(folder: str | Path, option: str = "out") -> Path:
    """The folder, made where it is not there.

    Parameters
    ----------
    folder : str or Path
        The folder. Its parents are made too.
    option : str
        What errors begin with.

    Raises
    ------
    InputError
        Where the folder cannot be made.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{option}: the folder {path} cannot be made ({error.strerror})") from None
    return path
