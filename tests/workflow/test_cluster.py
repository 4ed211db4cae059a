"""What would fail in a cluster's queue stops a run before its first job, in one line; what it would meet there is said.

The commands are scripts that answer as Slurm's would. `test_slurm.py` has a real Slurm.
"""

import dataclasses
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as plugin
from small_study import REPOSITORY, SMALL, Workflow
from snakemake.cli import parse_set_resources
from snakemake.resources import Resources
from snakemake.settings.types import ResourceSettings
from tokengeometry.errors import StudyError
from tokengeometry.operations import runs, slurm

FIRST, SECOND, THIRD = (f"{digit * 8}-e89b-42d3-a456-426614174000" for digit in "123")


class Commands:
    """A folder of commands, the only ones on the path."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        slurm.partitions.cache_clear()

    def add(self, name, *lines, status=0):
        """A command that prints these lines, to the standard error where it fails."""
        said = "\n".join(lines)
        script = f"#!/bin/sh\n/bin/cat <<'END'{' >&2' * (status > 0)}\n{said}\nEND\nexit {status}\n"
        (self.folder / name).write_text(script)
        (self.folder / name).chmod(0o755)

    def add_slurm(self):
        self.add("sinfo", "all*|(null)")
        for name in ("squeue", "sbatch", "scancel"):
            self.add(name)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    there = Commands(tmp_path / "commands")
    monkeypatch.setenv("PATH", str(there.folder))
    yield there
    slurm.partitions.cache_clear()


@pytest.fixture
def snakefile(tmp_path, monkeypatch):
    """The functions of cluster.smk as Snakemake calls them, for what is said of resources; `warnings` collects."""
    monkeypatch.chdir(tmp_path)

    def load(*, default=(), rules=(), device="auto", queued=("layer", "alpha_table")):
        warnings = []
        monkeypatch.setattr(plugin, "get_min_job_age", plugin.get_min_job_age)
        workflow = SimpleNamespace(
            resource_settings=ResourceSettings(
                default_resources=Resources.parse(list(default), allow_expressions=True),
                overwrite_resources=parse_set_resources(list(rules)),
            ),
            is_main_process=True,
            executor_plugin=SimpleNamespace(name="slurm"),
            scheduler=SimpleNamespace(_executor=SimpleNamespace(_partitions=None)),
            workdir_init=os.getcwd(),
            dag=SimpleNamespace(
                needrun_jobs=lambda: [
                    SimpleNamespace(rule=SimpleNamespace(name=name), is_local=name == "model") for name in queued
                ]
            ),
        )
        namespace = {
            "workflow": workflow,
            "logger": SimpleNamespace(warning=warnings.append),
            "gpus_of": lambda name: int(
                name in ("layer", "direct") and (device == "cuda" or (device == "auto" and slurm.offers_gpus()))
            ),
            "runs": runs,
            "RECORD": None,
        } | {"sys": sys, "Path": Path, "StudyError": StudyError}
        exec((REPOSITORY / "workflow/rules/machinery/cluster.smk").read_text(), namespace)
        return SimpleNamespace(check=namespace["require_cluster"], warnings=warnings, workflow=workflow)

    return load


def one_line(stopped):
    message = stopped.value.code
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("slurm_partition=all", "<built-in function all>"),
        ("slurm_partition=all,max", "(<built-in function all>, <built-in function max>)"),
        ("slurm_account=2024-12", "2012"),
        ("slurm_account=007", "7"),
        ("slurm_account=24/12", "2.0"),
        ("qos=threads", "1"),
        ("constraint=input", "[]"),
    ],
)
@pytest.mark.parametrize("of_a_rule", [False, True])
def test_a_word_that_snakemake_evaluates_to_something_else_is_named(snakefile, said, value, of_a_rule):
    name = said.partition("=")[0]
    with pytest.raises(SystemExit) as stopped:
        snakefile(rules=[f"layer:{said}"]) if of_a_rule else snakefile(default=[said])
    message = one_line(stopped)
    where = "set-resources layer" if of_a_rule else "default-resources"
    assert message.startswith(f"error: {where}: {name}=")
    assert f"becomes {value}; write {name}='" in message
    # What it advises is the word that was meant, or as much as Snakemake has left of it.
    quoted = message.partition("; write ")[2].partition(", with")[0]
    snakefile(default=[quoted])
    assert Resources.parse([quoted], allow_expressions=True)[name].evaluate(
        None, input=None, attempt=1, threads=1, rulename="", async_run=None
    ).value == said.partition("=")[2].lstrip("0")


@pytest.mark.parametrize(
    "said",
    [
        "slurm_partition=gpu-short",
        "slurm_account='2024-12'",
        "slurm_partition='gpu' if attempt > 1 else 'cpu'",
        "slurm_partition='gpu' if wildcards.model == 'vit' else 'cpu'",
        "slurm_extra='--exclusive'",
        "qos=None",
        "mem_mb=attempt*20000",
    ],
)
def test_words_and_expressions_that_give_words_are_taken(snakefile, said):
    snakefile(default=[said], rules=[f"layer:{said}"])


def test_without_slurm_the_profile_is_refused(commands, snakefile):
    with pytest.raises(SystemExit) as stopped:
        snakefile().check()
    assert "there is no sbatch here" in one_line(stopped)
    # Nothing is asked of it where nothing goes to the queue.
    snakefile(queued=["model"]).check()
    commands.add_slurm()
    snakefile().check()


def test_a_slurm_that_does_not_answer_is_said(commands, snakefile):
    commands.add_slurm()
    commands.add("sinfo", "slurm_load_partitions: Unable to contact slurm controller", status=1)
    with pytest.raises(SystemExit) as stopped:
        snakefile().check()
    assert "does not answer: slurm_load_partitions: Unable to contact slurm controller; run " in one_line(stopped)


def test_cuda_is_refused_on_a_cluster_without_a_gpu_where_a_job_would_ask_for_one(commands, snakefile):
    commands.add_slurm()
    commands.add("sinfo", "cpu*|(null)", "old|gpu:0", "big|craynetwork:4")
    with pytest.raises(SystemExit) as stopped:
        snakefile(device="cuda").check()
    assert one_line(stopped).startswith("error: compute.device: cuda, and sinfo lists no GPU on this cluster; ")
    with pytest.raises(SystemExit):
        snakefile(device="cuda", queued=["direct_first_tiny"]).check()
    snakefile(device="cuda", queued=["alpha_table"]).check()
    snakefile(device="auto").check()
    # Those of another cluster aren't listed here.
    snakefile(device="cuda", default=["slurm_cluster=other"]).check()


def test_a_partition_without_a_gpu_for_a_job_that_asks_for_one_is_said(commands, snakefile):
    commands.add_slurm()
    commands.add("sinfo", "cpu*|(null)", "mixed|(null)", "mixed|gpu:a100:4(S:0-1)", "gpu|gpu:2,nvme:1")
    assert slurm.partitions() == {"cpu": (True, False), "mixed": (False, True), "gpu": (False, True)}
    asked = snakefile()
    asked.check()
    (line,) = asked.warnings
    assert "The jobs of layer ask for a GPU, and their partition cpu has none" in line
    advice = line.partition("set-resources ")[2]
    for said in ({"rules": [advice]}, {"default": ["slurm_partition='cpu,mixed'"]}, {"device": "cpu"}):
        asked = snakefile(**said)
        asked.check()
        assert asked.warnings == []


def test_a_partition_that_the_cluster_has_not_is_named(commands, snakefile):
    commands.add_slurm()
    with pytest.raises(SystemExit) as stopped:
        snakefile(rules=["layer:slurm_partition='all,gpus'"]).check()
    assert "the cluster has no gpus; name one that sinfo lists: all" in one_line(stopped)


def test_an_account_that_nothing_confirms_is_named_and_without_one_nothing_is_asked(commands, snakefile):
    commands.add_slurm()
    asked = snakefile()
    asked.check()
    assert asked.workflow.scheduler._executor._fallback_account_arg == ""
    account = ["slurm_account='physics'"]
    for said in ("No such file or directory: 'sacctmgr'", "no accounting here", "Available accounts: chemistry"):
        with pytest.raises(SystemExit) as stopped:
            snakefile(default=account).check()
        message = one_line(stopped)
        assert message.startswith("error: slurm_account=physics is not confirmed (")
        assert said in message
        assert message.endswith("export SBATCH_ACCOUNT=physics")
        if said.startswith("No such file"):
            commands.add("sacctmgr", "no accounting here", status=1)
            commands.add("sshare", "no accounting here", status=1)
        else:
            commands.add("sacctmgr", "chemistry")
    commands.add("sacctmgr", "chemistry", "physics")
    snakefile(default=account).check()


def test_how_long_the_cluster_remembers_jobs_is_known_while_its_controller_is_away(commands, snakefile):
    commands.add_slurm()
    commands.add("scontrol", "MaxArraySize            = 1001", "MinJobAge               = 250 sec")
    snakefile().check()
    commands.add("scontrol", "Unable to contact slurm controller", status=1)
    assert plugin.get_min_job_age() == 250


def test_what_takes_the_place_of_every_request_is_said(commands, snakefile):
    commands.add_slurm()
    asked = snakefile(default=["mem_mb_per_cpu=2000"], rules=["layer:cpus_per_task=2", "moments:mem_mb=attempt*20000"])
    asked.check()
    memory, threads = asked.warnings
    assert memory.startswith("default-resources: mem_mb_per_cpu takes the place of the memory that jobs ask for")
    assert threads.startswith("set-resources layer: cpus_per_task takes the place of the threads that jobs ask for")


def test_jobs_that_an_earlier_run_left_are_named_and_those_of_a_living_one_are_not(commands, snakefile, tmp_path):
    commands.add_slurm()
    commands.add(
        "squeue",
        *(f"{name}|{tmp_path}" for name in (FIRST, SECOND, SECOND, f"vit_{THIRD}", "run.sh")),
        f"{THIRD}|{tmp_path}/elsewhere",
    )
    assert slurm.jobs_of(str(tmp_path)) == Counter({FIRST: 1, SECOND: 2, f"vit_{THIRD}": 1})
    here = runs.this_run()
    runs.enter(tmp_path / ".snakemake", dataclasses.replace(here, jobs=FIRST))
    asked = snakefile()
    asked.check()
    (line,) = asked.warnings
    assert "still in the queue (3)" in line
    assert line.endswith(f"; end them: scancel --name={SECOND},vit_{THIRD}")
    elsewhere = dataclasses.replace(here, host="login2", boot="another", pid=77, jobs=SECOND)
    runs.enter(tmp_path / ".snakemake", elsewhere)
    asked = snakefile()
    asked.check()
    assert "unless the run on login2 (process 77) still lives, end them" in asked.warnings[0]


def test_the_workflow_stops_before_its_first_job(finished, commands, tmp_path):
    workflow = Workflow(finished.copy(tmp_path / "study"), SMALL | {"compute": SMALL["compute"] | {"device": "cuda"}})
    shutil.rmtree(workflow.branch)
    for name in ("sh", "bash", "which"):
        (commands.folder / name).symlink_to(shutil.which(name, path=os.defpath))
    profile = ("--profile", REPOSITORY / "slurm")

    def stopped(*arguments):
        process = workflow.run(*profile, *arguments, check=False)
        assert process.returncode != 0
        assert "Traceback" not in process.stdout
        assert not workflow.branch.exists()
        (line,) = [line for line in process.stdout.splitlines() if line.startswith("error: ")]
        return line

    assert "there is no sbatch here" in stopped()
    commands.add_slurm()
    assert "sinfo lists no GPU" in stopped()
    assert "slurm_partition='all', with the quotes" in stopped("--default-resources", "slurm_partition=all")
