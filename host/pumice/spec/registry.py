"""Finds the class that a module of a registered name is there for."""

from importlib import import_module
from typing import TypeVar

_Class = TypeVar("_Class")


def load_class(package: str, name: str, base: type[_Class]) -> type[_Class]:
    """The one subclass of ``base`` that module ``name`` of ``package`` defines.

    Raises
    ------
    ImportError
        There is no such module, or it defines no such class, or several.
    """
    module = import_module(f"{package}.{name}")
    found = [
        member
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, base) and member.__module__ == module.__name__
    ]
    if len(found) != 1:
        names = ", ".join(member.__name__ for member in found) or "none"
        raise ImportError(f"{module.__name__} must define one {base.__name__}, not {names}")
    return found[0]
