"""Options that have no use where they are given, refused in one line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oamip_model.errors import InputError
from oamip_model.formulation.gates import gate_named
from oamip_model.formulation.losses import loss_named, loss_names
from oamip_model.formulation.settings import Settings, check_choice
from oamip_model.scoring.strategies import AVERAGED, ELIMINATION, LAYERWISE, MIXED_HEADS, MOST_IMAGES, SCOPES, WHOLE
from oamip_model.solving.parallel import Workers

_DEFAULTS: dict[str, Any] = {
    "gate": Settings.gate, "relaxed": False, "loss": "cross-entropy", "margin": 1.0, "epsilon": None, "batch_size": 10,
    "threads": 1, "log_file": None, "head": "pattern", "amount": None, "scope": "layer", "sweeps": 1,
    "exchanges": None, "device": "cpu",
    "weight": 5.0, "bounds": "interval", "relaxation": "big-m", "program_images": None, "heads": None,
    "heuristic": None, "search": "solver", "image_cuts": None, "solver": "highs", "scores": "continuous",
    "sparsity": "published", "tolerance": None, "time_limit": None, "store": None,
}  # fmt: skip
_OF_WHOLE = ("gate", "relaxed", "epsilon", "batch_size", "threads", "log_file", "heuristic", "search", "image_cuts")
_OF_LAYERS = ("head", "amount", "scope", "sweeps", "exchanges", "device", "program_images", "heads")


def check_used(strategy: str, head: str, loss: str, amount: float | None, given: dict[str, Any]) -> None:
    """Raise InputError for the first option that is given and would do nothing.

    given: the values of options of :func:`oamip_model.scoring.score` by name; a value that is the default counts as
    not given.

    Example:
        >>> check_used("forward", "pattern", "cross-entropy", None, {"gate": "published"})
        Traceback (most recent call last):
        ...
        oamip_model.errors.InputError: gate: got 'published', but strategy forward has no use for it, only joint, ...
    """
    values = {name: value for name, value in given.items() if value != _DEFAULTS[name]}

    def refuse(names: Iterable[str], why: str) -> None:
        for name in names:
            if name in values:
                raise InputError(f"{name}: got {values[name]!r}, but {why}")

    if not loss_named(loss).margined:
        refuse(["margin"], f"loss {loss} has no use for it")
    if strategy == ELIMINATION:
        used = ("amount", "exchanges", "device")
        refuse([name for name in values if name not in used], f"strategy {strategy} solves no program")
        return
    if strategy not in LAYERWISE:
        refuse(_OF_LAYERS, f"strategy {strategy} has no use for it, only {', '.join(LAYERWISE)}")
        if strategy != "batches":
            refuse(["batch_size"], f"strategy {strategy} has no use for it, only batches")
        return
    if not loss_named(loss).weighted:
        accepted = [name for name in loss_names() if loss_named(name).weighted]
        refuse(["loss"], f"strategy {strategy} takes {' and '.join(accepted)}")
    refuse(_OF_WHOLE, f"strategy {strategy} has no use for it, only {', '.join(WHOLE)}")
    if strategy == "decoupled":
        refuse(["sweeps", "exchanges"], "strategy decoupled scores each layer once, on its own")
    if head not in MIXED_HEADS:
        refuse(["bounds", "relaxation", "program_images"], f"head {head} has no use for it")
    if head != "auxiliary":
        refuse(["heads"], f"head {head} has no use for it")
    if amount is None:
        refuse(["scope"], "without an amount there is no share that it could be of")
        refuse(["exchanges"], "without an amount there is no number of units to keep to")
    else:
        refuse(["weight"], "with an amount the weight is found")


def check_numbers(
    amount: float | None, scope: str, sweeps: int, exchanges: int | None, program_images: int | None
) -> None:
    """Raise InputError where an option of the strategies layer by layer is out of range."""
    check_choice("scope", scope, SCOPES)
    if amount is not None and not 0 < amount < 1:
        raise InputError(f"amount: got {amount!r}, accepted is a share of the units between 0 and 1")
    if not 0 <= sweeps <= 100:
        raise InputError(f"sweeps: got {sweeps!r}, accepted is a number from 0 to 100")
    if exchanges is not None and not _is_whole(exchanges, 0, 1000):
        raise InputError(f"exchanges: got {exchanges!r}, accepted is a number of rounds from 0 to 1000")
    if program_images is not None and not _is_whole(program_images, 1, MOST_IMAGES):
        raise InputError(
            f"program_images: got {program_images!r}, accepted are 1 to {MOST_IMAGES}: a mixed-integer program has "
            "rows for each image; the heads pattern and linear take any number"
        )


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def check_independent(workers: Workers, strategy: str, threads: int | None, log_file: str | Path | None) -> None:
    """Raise InputError where the programs of a strategy cannot be solved at once, each with one thread."""
    given = f"engine: got {workers.engine!r}" if workers.engine == "dask" else f"jobs: got {workers.jobs!r}"
    if strategy == "joint":
        raise InputError(f"{given}, but strategy joint is one program")
    if strategy not in (*AVERAGED, "decoupled"):
        raise InputError(
            f"{given}, but strategy {strategy} scores a layer after the one before it is cut; accepted with it are the "
            f"strategies {', '.join((*AVERAGED, 'decoupled'))}"
        )
    if threads != 1:
        raise InputError(f"threads: got {threads!r}, accepted is 1 where several programs are solved at once")
    if log_file is not None:
        raise InputError("log_file: several programs that are solved at once would mix their logs")


def check_heuristic(heuristic: bool | None, settings: Settings) -> bool | None:
    """Whether the programs get a heuristic, None where their sizes decide. Raises InputError where there is none, but
    one is asked for.

    Example:
        >>> check_heuristic(True, Settings()), check_heuristic(None, Settings(relaxed=True))
        (True, False)
    """
    sound = gate_named(settings.gate).sound
    has_one = sound and not settings.relaxed
    if heuristic is None:
        return None if has_one else False
    if not isinstance(heuristic, bool):
        raise InputError(f"heuristic: got {heuristic!r}, accepted are True, False and None")
    if heuristic and not has_one:
        kind = "a relaxation" if sound else f"gate {settings.gate}"
        raise InputError(f"heuristic: got True, but {kind} has none: its best scores are not those of the network")
    return heuristic


def check_image_cuts(image_cuts: bool | None, search: str) -> bool:
    """Whether a search tree gets cuts from programs of single images. Raises InputError where it is none of ours.

    Example:
        >>> check_image_cuts(None, "tree"), check_image_cuts(None, "solver")
        (True, False)
    """
    if image_cuts is None:
        return search == "tree"
    if not isinstance(image_cuts, bool):
        raise InputError(f"image_cuts: got {image_cuts!r}, accepted are True, False and None")
    if search != "tree":
        raise InputError(f"image_cuts: got {image_cuts}, but search {search} has no use for it, only tree")
    return image_cuts
