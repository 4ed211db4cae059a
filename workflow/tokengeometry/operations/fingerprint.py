"""What the code of a script does, as a short hash that comments and layout leave alone.

The hash is over syntax trees: the script's, and the top-level statements of the package that it reaches by
name, from one definition to the next. What a module does on import beyond defining names counts for
whoever imports it, directly or through other modules. Where a name can't be followed, as in
`getattr(module, name)`, the whole module counts.

What a browser runs, the files of `BESIDE`, counts with every module of their folder that is reached.

Not counted: comments, docstrings and formatting; the texts of errors, prints and logs; other packages and their
versions; data files.
"""

import ast
import functools
import hashlib
import symtable
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# With these a statement may reach what it doesn't name: anything of its module, or of any module.
REACHES_MODULE = {"eval", "exec", "globals"}
REACHES_PACKAGE = {"import_module", "__import__"}
# Parts of a syntax tree that say nothing of what the code does.
IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}
# The error whose arguments are its message alone; what prints or logs.
SAID = "StudyError"
SPEAKERS = {"print", "_LOG"}
# Ends of the names of files that modules of their folder read.
BESIDE = (".js", ".css")
# Stands for the import of a module, where a number stands for one of its statements.
IMPORT = -1
# Where statements have others within them.
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
IMPORTS = (ast.Import, ast.ImportFrom)


def fingerprint(script, package=PACKAGE):
    """Hash of what a script does, with all that it reaches of a package.

    Parameters
    ----------
    script : path
    package : path
        Folder of the package. Its files are read once in a process.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    package, script = _package(Path(package)), Path(script)
    main = _Module("", script, package)
    contents, pending = {}, [(main, IMPORT), *main.everything()]
    while pending:
        module, index = pending.pop()
        if (module.name, index) not in contents:
            contents[module.name, index], reached = module.follow(index)
            pending.extend(reached)
    reached = {name for name, index in contents if index != IMPORT}
    parts = sorted(f"{name}:{content}" for (name, index), content in contents.items() if index != IMPORT)
    parts += package.beside(reached - {main.name})
    return hashlib.sha256("\n".join([script.stem, *parts]).encode()).hexdigest()[:16]


@functools.cache
def _package(folder):
    return _Package(folder)


class _Package:
    """The modules of a package, by dotted name."""

    def __init__(self, folder):
        self.name = folder.name
        self.files = {}
        for file in sorted(folder.rglob("*.py")):
            names = file.relative_to(folder.parent).with_suffix("").parts
            self.files[".".join(names[:-1] if names[-1] == "__init__" else names)] = file
        self._modules = {}

    def module(self, name):
        """The module of this dotted name, or None."""
        if name not in self._modules and name in self.files:
            self._modules[name] = _Module(name, self.files[name], self)
        return self._modules.get(name)

    def beside(self, names):
        """Hashes of the files beside these modules that are not Python, in the order of their names."""
        folders = sorted({self.files[name].parent for name in names})
        files = (file for folder in folders for file in sorted(folder.iterdir()) if file.suffix in BESIDE)
        return [f"{file.name}:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]

    def everything(self):
        return [statement for name in self.files for statement in self.module(name).everything()]

    def resolve(self, path):
        """Statements of the package that a dotted path stands for, as pairs of module and index.

        A path that ends at a module, or can't be followed beyond it, stands for the whole module.
        """
        module = self.module(path[0])
        if module is None:
            return []
        for position, name in enumerate(path[1:], start=1):
            if name in module.bound:
                return [(module, index) for index in module.bound[name]]
            if name in module.imported:
                return self.resolve((*module.imported[name], *path[position + 1 :]))
            if f"{module.name}.{name}" not in self.files:
                break
            module = self.module(f"{module.name}.{name}")
        return module.everything()


class _Module:
    """A file's top-level statements by index, and what its names stand for.

    Attributes
    ----------
    statements : list of int
        All but imports and docstrings.
    bound : dict of str to list of int
        The statements that bind a name.
    imported : dict of str to tuple of str
        The dotted path that an imported name stands for.
    follow : callable
        Of a statement, or of the module's import: its content, and what it reaches as pairs of module and index.
    """

    def __init__(self, name, path, package):
        self.name = name
        self._package = package
        self._parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        source = path.read_text()
        self._lines = source.splitlines(keepends=True)
        self._body = ast.parse(source, path).body
        for statement in _statements(self._body):
            _silence(statement)
        self.statements = [
            index for index, node in enumerate(self._body) if not isinstance(node, IMPORTS) and not _is_text(node)
        ]
        self.bound = {}
        for index in self.statements:
            for bound in _bound_names(self._body[index]):
                self.bound.setdefault(bound, []).append(index)
        at_import = [node for node in self._body if not isinstance(node, FUNCTIONS)]
        self.imported, self._stars, self._import_paths = self._read_imports(at_import)
        self.follow = functools.cache(self._follow)

    def everything(self):
        return [(self, index) for index in self.statements]

    def _follow(self, index):
        if index == IMPORT:
            # Statements that do more on import than to bind a name.
            effects = [(self, index) for index in self.statements if self._has_effect(self._body[index])]
            return "", effects + self._imports_along(self._import_paths)
        node = self._body[index]
        local, stars, import_paths = self._read_imports([node])
        names = self._global_names(node) | set(local)
        text, chains = _read(node)
        content, reached = [text], []
        chains = sorted(chain for chain in chains if chain[0] in names)
        for chain in chains:
            for path in self._paths(chain, local):
                content.append(f"{'.'.join(chain)} is {'.'.join(path)}")
                reached.extend(self._package.resolve(path))
            if chain[0] in self.bound:
                reached.extend((self, index) for index in self.bound[chain[0]])
        used = {name for chain in chains for name in chain}
        unknown = used - set(self.bound) - set(self.imported) - set(local)
        for path in stars + (self._stars if unknown else []):
            reached.extend(self._package.resolve(path))
        if REACHES_MODULE & {chain[0] for chain in chains}:
            reached.extend(self.everything())
        if used & REACHES_PACKAGE:
            reached.extend(self._package.everything())
        digest = hashlib.sha256("\n".join(content).encode()).hexdigest()
        return digest, [*dict.fromkeys(reached), *self._imports_along(import_paths)]

    def _paths(self, chain, local):
        """The dotted path that a dotted name of this module stands for, if its first name was imported."""
        place = local if chain[0] in local else self.imported
        return [(*place[chain[0]], *chain[1:])] if chain[0] in place else []

    def _global_names(self, node):
        """The names in a statement that aren't local to a function in it."""
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        scopes = [symtable.symtable("".join(self._lines[first - 1 : node.end_lineno]), self.name, "exec")]
        names = set()
        while scopes:
            scope = scopes.pop()
            scopes.extend(scope.get_children())
            inside = scope.get_type() == "function"
            names.update(symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global() or not inside)
        return names

    def _has_effect(self, node):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            # Code of the package that runs as something is defined with it may well keep a register.
            runs = [*node.decorator_list, *getattr(node, "bases", []), *getattr(node, "keywords", [])]
            chains = {chain for expression in runs for chain in _read(expression)[1]}
            paths = [path for chain in chains for path in self._paths(chain, {})]
            reached = [(self, index) for chain in chains for index in self.bound.get(chain[0], [])]
            reached += [statement for path in paths for statement in self._package.resolve(path)]
            return any(not isinstance(module._body[index], ASSIGNMENTS) for module, index in reached)
        if isinstance(node, ASSIGNMENTS):
            targets = getattr(node, "targets", None) or [node.target]
            return any(isinstance(inner, (ast.Attribute, ast.Subscript)) for t in targets for inner in ast.walk(t))
        return True

    def _read_imports(self, nodes):
        """Names and the dotted paths that they stand for, paths of `import *`, paths of all that is imported."""
        names, stars, paths = {}, [], []
        for node in (statement for statement in _statements(nodes) if isinstance(statement, IMPORTS)):
            for alias in node.names:
                if isinstance(node, ast.Import):
                    path = tuple(alias.name.split("."))
                    names[alias.asname or path[0]] = path if alias.asname else path[:1]
                else:
                    above = self._parents[: len(self._parents) - node.level + 1] if node.level else []
                    path = (*above, *(node.module.split(".") if node.module else []), alias.name)
                    if alias.name == "*":
                        path = path[:-1]
                        stars.append(path)
                    else:
                        names[alias.asname or alias.name] = path
                paths.append(path)
        return names, stars, paths

    def _imports_along(self, paths):
        along = {".".join(path[:length]) for path in paths for length in range(1, len(path) + 1)}
        return [(module, IMPORT) for name in along if (module := self._package.module(name))]


def _statements(nodes):
    """Statements with all those within them, in order; of `try` and `match` also the parts between."""
    for node in nodes:
        yield node
        for block in BLOCKS:
            yield from _statements(getattr(node, block, ()))


def _bound_names(node):
    """Names that a top-level statement binds, or may bind."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return {node.name}
    nodes = list(ast.walk(node))
    names = {inner.id for inner in nodes if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}
    return names | {inner.name for inner in nodes if isinstance(inner, (*FUNCTIONS, ast.ClassDef))}


def _silence(statement):
    """Take out what a statement tells people: all that a StudyError says, the texts of other errors and of logs."""
    is_error = isinstance(statement, ast.Raise)
    call = statement.exc if is_error else statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return
    name = ast.unparse(call.func).split(".")
    if is_error and name[-1] == SAID:
        call.args, call.keywords = [], []
    elif is_error or name[0] in SPEAKERS:
        call.args = [argument for argument in call.args if not _is_string(argument)]


def _is_string(node):
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_text(node):
    return isinstance(node, ast.Expr) and _is_string(node.value)


def _read(node):
    """A piece of syntax as text, and the dotted names in it.

    Parameters
    ----------
    node : ast.AST

    Returns
    -------
    str
        Without docstrings and without what differs between versions of Python.
    set of tuple of str
        Every dotted name, as long as it goes: `a.b.c` is ("a", "b", "c").
    """
    chains = set()

    def shown(value, within_chain=False):
        if isinstance(value, list):
            return f"[{','.join([shown(item) for item in value if not _is_text(item)])}]"
        if not isinstance(value, ast.AST):
            return repr(value)
        if isinstance(value, (ast.Name, ast.Attribute)) and not within_chain:
            within_chain = (chain := _chain(value)) is not None
            if within_chain:
                chains.add(chain)
        fields = []
        for name in value._fields:
            inner = getattr(value, name, None)
            if inner is not None and inner != [] and name not in IGNORED:
                fields.append(f"{name}={shown(inner, within_chain)}")
        return f"{type(value).__name__}({','.join(fields)})"

    return shown(node), chains


def _chain(node):
    """The dotted name that a name or an attribute is, or None."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None
