# What every job asks for. The numbers are tokengeometry.operations.resources'; here they meet Snakemake.
from functools import cache

from snakemake.common.tbdstring import TBDString
from tokengeometry.operations import gpu_locks, slurm
from tokengeometry.operations.resources import (
    FETCH_RULES,
    GPU_RULES,
    request,
    threads_worth,
)


# A cluster's job has GPUs of its own; those of this machine are shared out among its jobs.
resource_scopes:
    gpu="local",


# A limit also cuts down what a cluster's jobs may ask for: none where there is no GPU here.
if config["compute"]["device"] in ("auto", "cuda"):
    if "gpu" not in workflow.global_resources and (here := gpu_locks.count(os.environ)):
        workflow.register_resource("gpu", here)


def gpu_limit():
    """How many GPUs this run has, or the job that Snakemake has started this process for."""
    return workflow.global_resources.get("gpu").value or 0


def gpu_to_be_had():
    if workflow.local_exec or not workflow.is_main_process:
        return gpu_limit() > 0
    try:
        return slurm.offers_gpus()
    except StudyError as error:
        sys.exit(f"error: {error}")


def gpus_of(name):
    device = config["compute"]["device"]
    if name not in GPU_RULES or device not in ("auto", "cuda"):
        return 0
    return int(device == "cuda" or gpu_to_be_had())


@cache
def read_description(path, _modified):
    return json.loads(path.read_text())


def description(name, wildcards):
    """The content of model.json; None while it isn't there or has yet to be made again, {} where it isn't needed."""
    if name in FETCH_RULES or "model" not in wildcards.keys():
        return {}
    path = Path(rules.model.output.description.format(model=wildcards.model))
    if not path.exists():
        return None
    model = read_description(path, path.stat().st_mtime_ns)
    return model if is_of(model, config["models"][wildcards.model]) else None


def most_threads(name):
    """Of a rule's jobs. Two side by side use two halves of a machine better than each in turn uses it whole.

    A job of direct mode has no other beside it for most of the time.
    """
    if config["compute"]["threads"] != "auto":
        return config["compute"]["threads"]
    variable = "TOKENGEOMETRY_THREADS" + "_ALONE" * (name == "direct")
    if workflow.is_main_process:
        cores = workflow.global_resources["_cores"].value or 1
        shared = max(1 if name == "direct" else 2, gpu_limit())
        threads = max(1, cores // shared) if workflow.local_exec else 8
        # For the processes of the jobs, which see other cores than this one.
        os.environ[variable] = str(threads)
        # Of several chains, two fill the machine.
        if workflow.local_exec and study.chains == 1:
            os.environ.update(TOKENGEOMETRY_CORES=str(cores))
    return int(os.environ.get(variable, 8))


def threads_of(name):
    """Threads of a rule's jobs: those worth having, once the model is known."""

    def threads(wildcards):
        model = description(name, wildcards)
        if model is None:
            return most_threads(name)
        return threads_worth(
            name, study, model, dict(wildcards.items()), most_threads(name)
        )

    return threads


def ask(name):
    """The resources of a rule's jobs, evaluated again once the model is known."""

    def ask_for(quantity):
        def resource(wildcards, threads, attempt):
            model = description(name, wildcards)
            if model is None:
                return TBDString()
            return getattr(
                request(
                    name,
                    study,
                    model,
                    dict(wildcards.items()),
                    threads=threads,
                    gpu=gpus_of(name) > 0,
                    attempt=attempt,
                ),
                quantity,
            )

        return resource

    return dict(
        mem_mb=ask_for("memory_mb"),
        disk_mb=ask_for("disk_mb"),
        runtime=ask_for("minutes"),
        gpu=lambda wildcards: gpus_of(name),
    )
