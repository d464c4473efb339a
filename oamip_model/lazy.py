"""Packages whose names load their module on first use.

So light commands load little.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str], packages: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package with lazy names.

    Its public names live in its submodules: {name: submodule}.

    packages: names of whole packages, which may live elsewhere: {name: package}.
    """
    whole = packages or {}

    def load(name: str) -> Any:
        if name in whole:
            return importlib.import_module(whole[name])
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return load, lambda: sorted((*homes, *whole))
