"""A fingerprint that is known is the one that would be computed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tokengeometry.operations.fingerprint import fingerprint

PACKAGE = Path(__file__).parents[2] / "workflow/tokengeometry"
# In a process of its own, as at each start of Snakemake: the fingerprint, and how often it was computed.
FIND = """
import json, sys
from pathlib import Path
from tokengeometry.operations import known_fingerprints
computed = []
compute = known_fingerprints.fingerprint
known_fingerprints.fingerprint = lambda *arguments: computed.append(1) or compute(*arguments)
script, package, folder = map(Path, sys.argv[1:])
found = [known_fingerprints.known_fingerprint(script, package, folder) for _ in range(2)]
assert found[0] == found[1]
print(json.dumps([found[0], len(computed)]))
"""


@pytest.fixture
def script(tmp_path):
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "numbers.py").write_text("def double(x):\n    return 2 * x\n")
    (package / "page.js").write_text("draw();\n")
    path = tmp_path / "script.py"
    path.write_text("from pkg.numbers import double\ndouble(1)\n")
    return path


def found(script):
    arguments = [sys.executable, "-c", FIND, script, script.parent / "pkg", script.parent / "kept"]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    ran = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return tuple(json.loads(ran.stdout))


def test_it_is_computed_once_for_a_state_of_the_code(script):
    first = found(script)
    assert first == (fingerprint(script, script.parent / "pkg"), 1)
    assert found(script) == (first[0], 0)


@pytest.mark.parametrize(
    ("file", "content", "changes"),
    [
        ("script.py", "from pkg.numbers import double\ndouble(2)\n", True),
        ("pkg/numbers.py", "def double(x):\n    return x + x\n", True),
        ("pkg/page.js", "draw(2);\n", True),
        ("pkg/numbers.py", "def double(x):\n    return 2 * x  # twice\n", False),
        ("pkg/more.py", "TEN = 10\n", False),
    ],
)
def test_after_an_edit_it_is_computed_again(script, file, content, changes):
    before, _ = found(script)
    path = script.parent / file
    stat = path.stat() if path.exists() else None
    path.write_text(content)
    if stat:
        # What counts is what is in the file, not when it was written.
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after, computed = found(script)
    assert computed == 1
    assert (after != before) == changes


def test_what_was_cut_short_or_cannot_be_kept_is_computed(script):
    first, _ = found(script)
    (file,) = (script.parent / "kept").iterdir()
    file.write_text(file.read_text()[:-9])
    assert found(script) == (first, 1)
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("a file where the folder would be\n")
    assert found(script) == (first, 1)
