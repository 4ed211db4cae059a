# What is asked of a cluster before the first job: that it is there, and has what the jobs are to ask for.
import snakemake_executor_plugin_slurm as plugin
from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import InputFiles, Wildcards
from snakemake.resources import Resource
from snakemake_executor_plugin_slurm.accounts import validate_account
from tokengeometry.operations import slurm
from tokengeometry.errors import in_one_line

# Resources that are words. Snakemake evaluates what it is given for them as Python.
WORDS = (
    "slurm_account",
    "slurm_partition",
    "slurm_extra",
    "slurm_cluster",
    "cluster",
    "clusters",
    "qos",
    "constraint",
    "gres",
    "gpu_model",
)
# Resources that the executor takes in place of what every rule asks for.
REPLACE = {
    "mem_mb_per_cpu": "memory",
    "cpus_per_task": "threads",
    "cpus_per_gpu": "threads",
}


def said_resources():
    """What the profile or the command line says of resources: where, its name, its value not yet evaluated."""
    settings = workflow.resource_settings
    said = {"default-resources": settings._parsed_default_resources}
    said |= {
        f"set-resources {rule}": resources
        for rule, resources in settings._parsed_overwrite_resources.items()
    }
    return [
        (where, name, resource)
        for where, resources in said.items()
        for name, resource in resources.items()
    ]


def word(resource):
    """What Snakemake makes of a resource for a job; None where it takes that job's wildcards or input."""
    if not isinstance(resource.raw, str):
        return resource.raw
    try:
        return Resource.cli_evaluator(
            resource.name,
            resource.raw,
            wildcards=Wildcards(),
            input=InputFiles(),
            attempt=1,
            threads=1,
            async_run=None,
        )
    except WorkflowError:
        return None


def require_words():
    """Stop where a name is read as something else: `all` as a function, 2024-12 as 2012."""
    for where, name, resource in said_resources():
        value = word(resource) if name in WORDS else None
        if value is not None and not isinstance(value, str):
            sys.exit(
                f"error: {where}: {name}={resource.raw} is evaluated as Python and becomes {value!r}; "
                f"write {name}='{resource.raw}', with the quotes"
            )


def words(name):
    """The words said of a resource by the rule that they are for; by None that for all others."""
    return {
        (
            where.removeprefix("set-resources ")
            if where != "default-resources"
            else None
        ): value
        for where, known, resource in said_resources()
        if known == name and (value := word(resource)) is not None
    }


def split(names):
    return names.replace(",", " ").split()


def require_cluster():
    """Before the first job of the queue, stop where it would fail, and warn of what it would meet there."""
    queued = {job.rule.name for job in workflow.dag.needrun_jobs() if not job.is_local}
    if workflow.executor_plugin.name != "slurm" or not queued:
        return
    try:
        slurm.require_commands()
        partitions = slurm.partitions()
        left = slurm.jobs_of(workflow.workdir_init)
    except StudyError as error:
        sys.exit(f"error: {error}")
    # Which cluster's partitions and GPUs these are isn't said.
    if not any(map(words, ("slurm_cluster", "cluster", "clusters"))):
        require_partitions(partitions)
        require_gpus(partitions, queued)
    require_accounts()
    settle_executor(workflow.scheduler._executor)
    warn_of_replaced()
    warn_of_jobs(left)


def settle_executor(executor):
    """Keep the executor from asking for an accounting database that may not be there."""
    # Without an account the cluster's default holds. The executor would guess one by sacct, and fail without it.
    executor._fallback_account_arg = ""
    # While the controller is away, how long it remembers jobs would be unknown, and sacct be asked in its place.
    remembered = plugin.get_min_job_age()
    plugin.get_min_job_age = lambda: remembered


def require_partitions(partitions):
    for named in words("slurm_partition").values():
        for name in split(named):
            if name not in partitions:
                sys.exit(
                    f"error: slurm_partition: the cluster has no {name}; name one that sinfo lists: "
                    f"{', '.join(sorted(partitions))}"
                )


def require_gpus(partitions, queued):
    asking = [
        name
        for name in sorted(queued)
        if gpus_of("direct" if name.startswith("direct_") else name)
    ]
    if asking and not slurm.offers_gpus():
        sys.exit(
            "error: compute.device: cuda, and sinfo lists no GPU on this cluster; make it auto or cpu"
        )
    named = words("slurm_partition")
    # With limits of partitions, the executor chooses one for each job.
    chosen = workflow.scheduler._executor._partitions
    usual = [name for name in partitions if partitions[name].default and not chosen]
    for name in asking:
        goes_to = split(named.get(name, named.get(None, ",".join(usual))))
        if goes_to and not any(partitions[partition].gpus for partition in goes_to):
            have = sorted(other for other in partitions if partitions[other].gpus)
            logger.warning(
                f"The jobs of {name} ask for a GPU, and their partition {','.join(goes_to)} has none; name one that "
                f"has ({', '.join(have)}): set-resources {name}:slurm_partition='{have[0]}'"
            )


def require_accounts():
    """The executor takes an account only where the cluster confirms it, and asks for each job anew."""
    for account in sorted(set().union(*map(split, words("slurm_account").values()))):
        try:
            validate_account(account, logger)
        except (WorkflowError, OSError) as error:
            sys.exit(
                f"error: slurm_account={account} is not confirmed ({in_one_line(error)}); name an account of yours, "
                f"or leave slurm_account out and tell sbatch itself: export SBATCH_ACCOUNT={account}"
            )


def warn_of_replaced():
    for where, name, _ in said_resources():
        if name in REPLACE:
            logger.warning(
                f"{where}: {name} takes the place of the {REPLACE[name]} that jobs ask for by the size of their work; "
                "leave it out unless the cluster insists"
            )


def warn_of_jobs(left):
    """Of jobs that a run left in the queue when its connection was lost or it was killed."""
    known = runs.others(Path(".snakemake"), RECORD).values()
    here = runs.this_run()
    alive = {run.jobs for run in known if runs.state(run, here) == runs.ALIVE}
    elsewhere = [
        str(run) for run in known if run.jobs in left and run.jobs not in alive
    ]
    names = sorted(left.keys() - alive)
    if names:
        logger.warning(
            f"Jobs of an earlier run from this folder are still in the queue ({sum(left[name] for name in names)}), "
            "and this run submits their work again; "
            + (f"unless {' or '.join(elsewhere)} still lives, " if elsewhere else "")
            + f"end them: scancel --name={','.join(names)}"
        )


if workflow.is_main_process:
    require_words()
