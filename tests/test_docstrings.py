"""What the mathematics, the stores, the tables and the figures offer says in numpydoc what it takes and returns."""

import importlib
import inspect
import pkgutil

import pytest
from tokengeometry import explorer, figures, geometry, reduction, storage

MODULES = ["tokengeometry.tables"] + [
    module.name
    for package in (geometry, storage, reduction, figures, explorer)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


def public(module):
    """The functions of a module, and the methods of its classes, whose names have no underscore before them."""
    for name, found in inspect.getmembers(module):
        if name.startswith("_") or getattr(found, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(found):
            yield from (
                (f"{name}.{key}", getattr(found, key))
                for key, value in vars(found).items()
                if isinstance(value, classmethod | staticmethod) or (inspect.isfunction(value) and key[0] != "_")
            )
        elif inspect.isfunction(found):
            yield name, found


def section(text, title):
    """The lines of a section of a docstring; none where it has no such section."""
    lines = text.splitlines()
    marks = [i for i, line in enumerate(lines) if line and set(line) == {"-"}]
    starts = {lines[mark - 1]: mark + 1 for mark in marks}
    if title not in starts:
        return []
    end = next((mark - 1 for mark in marks if mark > starts[title]), len(lines))
    return lines[starts[title] : end]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_says_what_it_takes_and_returns(module):
    for name, function in public(importlib.import_module(module)):
        if name in ("of_spectrum", "of_moments") and not function.__doc__:
            continue  # The contract of a statistic is in geometry/statistics/__init__.py.
        if name == "group" and not function.__doc__:
            continue  # That of a policy is in reduction/policies/__init__.py.
        text, source = inspect.getdoc(function) or "", inspect.getsource(function)
        heads = [line.split(" : ")[0].split(", (")[0] for line in section(text, "Parameters") if line[:1].strip()]
        said = [parameter.strip("*") for head in heads for parameter in head.split(", ")]
        takes = [parameter for parameter in inspect.signature(function).parameters if parameter != "self"]
        assert said == takes, f"{module}.{name}"
        if "\n        return " in source or ("\n    return " in source and "." not in name):
            assert section(text, "Returns"), f"{module}.{name} returns something"
        if "    yield " in source:
            assert section(text, "Yields"), f"{module}.{name} yields something"
