"""What the code of a script does, as a short hash that comments and layout leave alone."""

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parent


def fingerprint(script):
    """Hash of a script and of all it imports from this package, directly or through other modules.

    Taken over the syntax trees without docstrings, so comments and formatting don't count.

    Parameters
    ----------
    script : path

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    pending, seen = [Path(script)], {}
    while pending:
        path = pending.pop()
        if path not in seen:
            seen[path], imported = _read(path)
            pending.extend(imported)
    parts = sorted(f"{path.stem}:{content}" for path, content in seen.items())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@functools.cache
def _read(path):
    """The hash of one file's syntax tree, and the package's files that it imports."""
    tree = ast.parse(path.read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        imported.update(file for name in names if (file := _file(name)))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), sorted(imported)


def _file(name):
    package, *rest = name.split(".")
    if package != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*rest)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
