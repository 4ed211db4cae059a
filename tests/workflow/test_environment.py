"""The ways to the environment lead to the same packages."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from small_study import REPOSITORY

ENVIRONMENTS = REPOSITORY / "envs"


def requirements(name):
    lines = (line.partition("#")[0].strip() for line in (ENVIRONMENTS / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def test_conda_takes_the_locked_packages_from_pip():
    environment = yaml.safe_load((ENVIRONMENTS / "environment.yaml").read_text())
    python, pip, packages = environment["dependencies"]
    assert re.fullmatch(r"python=3\.1[1-3]", python)
    assert pip == "pip"
    option, _, file = packages["pip"][0].partition(" ")
    assert (option, len(packages["pip"])) == ("--requirement", 1)
    # Conda hands the line to pip in the folder of environment.yaml.
    assert (ENVIRONMENTS / file).samefile(ENVIRONMENTS / "requirements.txt")


def test_every_package_is_locked_to_one_version():
    locked = {canonicalize_name(requirement.name): requirement for requirement in requirements("requirements.txt")}
    for requirement in locked.values():
        (specifier,) = requirement.specifier
        assert (specifier.operator, "*" in specifier.version) == ("==", False), requirement
    assert {canonicalize_name(requirement.name) for requirement in requirements("requirements.in")} <= set(locked)


def test_these_tests_run_with_the_locked_versions():
    for requirement in requirements("requirements.txt"):
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            pytest.skip(f"not the locked environment: {requirement.name} is not installed")
        assert requirement.specifier.contains(found.partition("+")[0]), (requirement, found)


def test_make_says_in_one_line_that_python_cannot_make_an_environment(tmp_path):
    # As on Debian without python3-venv: venv is there, what it calls is not.
    (tmp_path / "ensurepip.py").write_text("raise ImportError('ensurepip was imported')")
    (tmp_path / "venv.py").write_text("print('venv was called')")
    # As make test runs this, the make below would say that it is the second.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    process = subprocess.run(
        ["make", "environment", f"VENV={tmp_path / 'made'}", f"PYTHON={sys.executable}"],
        cwd=REPOSITORY,
        env=environment | {"PYTHONPATH": str(tmp_path)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert process.returncode == 2
    said, make = process.stderr.splitlines()
    assert said == (
        f"error: {sys.executable} cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv"
    )
    assert make.startswith("make: ***")
    assert "venv was called" not in process.stdout
