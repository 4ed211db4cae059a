"""What the constructors of torchvision's data set classes take, read from their source.

Nothing of torchvision is imported, so that a wrong argument is found when the Snakefile is read.
"""

import ast
import difflib
import functools
from typing import NamedTuple

from tokengeometry.data.class_names import datasets_folder, require_dataset_class
from tokengeometry.errors import StudyError

# The workflow itself sets these.
_OURS = {"download", "is_valid_file", "loader", "target_transform", "transform", "transforms"}
# Their pictures are the user's own: there is no place to look for them by default.
USERS_FOLDERS = ("ImageFolder", "DatasetFolder")


class Parameter(NamedTuple):
    """A constructor's parameter: its annotation as written, whether it has no default, the values it takes.

    The values are empty where the source doesn't list them in plain sight.
    """

    annotation: str
    required: bool
    values: tuple[str, ...]


@functools.cache
def parameters_of(class_name):
    """Parameters of a class's constructor, with those it hands on to its base classes as `**kwargs`."""
    parameters = {}
    for module, ancestor in _ancestry(_module_of(class_name), class_name):
        constructor = next((node for node in ancestor.body if _is_constructor(node)), None)
        if constructor is None:
            continue
        for name, parameter in _own_parameters(module, ancestor, constructor).items():
            parameters.setdefault(name, parameter)
        if constructor.args.kwarg is None:
            break
    return parameters


def check_arguments(class_name, arguments):
    """Raise StudyError, saying what would be right, unless the class's constructor takes these arguments."""
    require_dataset_class(class_name)
    parameters = parameters_of(class_name)
    accepted = [name for name in parameters if name not in _OURS and not name.startswith("_")]
    for argument, given in arguments.items():
        if argument not in accepted:
            nearest = difflib.get_close_matches(str(argument), accepted, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise StudyError(f"{class_name} takes no argument {argument!r}: {hint}it takes {', '.join(accepted)}")
        # torchvision takes any non-empty string, "false" too, for true.
        annotation = "str" if argument == "root" else parameters[argument].annotation
        for kind in (bool, int, str):
            if annotation == kind.__name__ and type(given) is not kind:
                raise StudyError(f"{class_name}: argument {argument!r} is {given!r}: it has to be a {kind.__name__}")
        values = parameters[argument].values
        if values and given is not None and given not in values:
            raise StudyError(f"{class_name}: {given!r} is no value of argument {argument!r}: use {', '.join(values)}")
    for argument in accepted:
        needed = argument != "root" or class_name in USERS_FOLDERS
        if needed and parameters[argument].required and argument not in arguments:
            raise StudyError(f"{class_name} needs an argument {argument!r}")


@functools.cache
def _module(name):
    return ast.parse((datasets_folder() / f"{name}.py").read_text(encoding="utf-8"))


def _imported(module):
    """The package's modules that a module's names come from."""
    nodes = [node for node in _module(module).body if isinstance(node, ast.ImportFrom) and node.level == 1]
    return {alias.asname or alias.name: node.module for node in nodes if node.module for alias in node.names}


def _module_of(class_name):
    return _imported("__init__")[class_name]


def _ancestry(module, class_name):
    """A class and its base classes of the package, each with its module."""
    found = [node for node in _module(module).body if isinstance(node, ast.ClassDef) and node.name == class_name]
    if not found:
        if (elsewhere := _imported(module).get(class_name)) is not None:
            yield from _ancestry(elsewhere, class_name)
        return
    yield module, found[0]
    for base in found[0].bases:
        if isinstance(base, ast.Name):
            yield from _ancestry(module, base.id)


def _is_constructor(node):
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _own_parameters(module, owner, constructor):
    given = constructor.args
    named = (*given.posonlyargs, *given.args)[1:]
    defaults = [None] * (len(named) - len(given.defaults)) + given.defaults
    values = _listed_values(module, owner, constructor)
    return {
        argument.arg: Parameter(
            # `from __future__ import annotations` may be there or not, and an annotation may be a string.
            ast.unparse(argument.annotation).strip("'\"") if argument.annotation else "",
            default is None,
            values.get(argument.arg, ()),
        )
        for argument, default in zip((*named, *given.kwonlyargs), (*defaults, *given.kw_defaults), strict=True)
    }


def _listed_values(module, owner, constructor):
    """The values that `verify_str_arg(argument, name, values)` lets through, where they are in plain sight."""
    constants = {}
    for node in (*_module(module).body, *owner.body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = node.value
    listed = {}
    for call in (node for node in ast.walk(constructor) if isinstance(node, ast.Call)):
        named = [keyword.value for keyword in call.keywords if keyword.arg == "valid_values"]
        valid = (*call.args[2:3], *named)
        if ast.unparse(call.func) == "verify_str_arg" and valid and isinstance(call.args[0], ast.Name):
            listed[call.args[0].id] = _strings(valid[0], constants)
    return listed


def _strings(node, constants):
    """The strings of a literal tuple, list or dictionary, of a constant that is one, or of what wraps it."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("tuple", "list") and len(node.args) == 1:
        return _strings(node.args[0], constants)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys":
        return _strings(node.func.value, constants)
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self" and node.attr in constants:
        return _strings(constants[node.attr], constants)
    if isinstance(node, ast.Name) and node.id in constants:
        return _strings(constants[node.id], constants)
    elements = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    strings = tuple(element.value for element in elements if isinstance(element, ast.Constant))
    return strings if len(strings) == len(elements) and all(isinstance(s, str) for s in strings) else ()
