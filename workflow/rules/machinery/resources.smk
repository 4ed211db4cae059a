# What every job asks for. The numbers are tokengeometry.operations.resources'; here they meet Snakemake.
from functools import cache

from tokengeometry.operations import gpu_locks, slurm
from tokengeometry.operations.resources import (
    GPU_RULES,
    REDUCING,
    SHARING,
    most_threads,
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
    if name not in (*GPU_RULES, *REDUCING) or device not in ("auto", "cuda"):
        return 0
    return int(device == "cuda" or gpu_to_be_had())


def gpus_asked(name):
    """The GPUs that Snakemake counts: of those here, none for a job that shares one, since locks count such jobs."""
    return 0 if name in SHARING and workflow.local_exec else gpus_of(name)


@cache
def description(name):
    """What is known of a model: before it is there, what its architecture says."""
    if workflow.is_main_process:
        return MODELS[name]
    return json.loads(
        Path(rules.model.output.description.format(model=name)).read_text()
    )


def work_of(name, wildcards):
    """The size of a job's work, as the package's functions take it."""
    its = dict(wildcards.items())
    return name, study, description(its["model"]) if "model" in its else {}, its


def threads_of_one(name):
    """The most threads of a rule's jobs."""
    if config["compute"]["threads"] != "auto":
        return config["compute"]["threads"]
    kind = "_ALONE" * (name == "direct") + "_SHARING" * (name in SHARING)
    variable = "TOKENGEOMETRY_THREADS" + kind
    if workflow.is_main_process:
        cores = workflow.global_resources["_cores"].value or 1
        threads = most_threads(name, cores, gpu_limit()) if workflow.local_exec else 8
        # For the processes of the jobs, which see other cores than this one.
        os.environ[variable] = str(threads)
        # Of several chains, two fill the machine.
        if workflow.local_exec and study.chains == 1:
            os.environ.update(TOKENGEOMETRY_CORES=str(cores))
    return int(os.environ.get(variable, 8))


def threads_of(name):
    """Threads of a rule's jobs: those worth having."""
    return lambda wildcards: threads_worth(
        *work_of(name, wildcards), threads_of_one(name)
    )


def ask(name):
    """The resources of a rule's jobs."""

    # Snakemake asks for one quantity at a time.
    @cache
    def asked(wildcards, threads, attempt):
        has = dict(threads=threads, gpu=gpus_of(name) > 0, attempt=attempt)
        return request(*work_of(name, dict(wildcards)), **has)

    def ask_for(quantity):
        return lambda wildcards, threads, attempt: getattr(
            asked((*wildcards.items(),), threads, attempt), quantity
        )

    return dict(
        mem_mb=ask_for("memory_mb"),
        disk_mb=ask_for("disk_mb"),
        runtime=ask_for("minutes"),
        gpu=lambda wildcards: gpus_asked(name),
    )
