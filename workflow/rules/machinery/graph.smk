# All jobs of the study, as Snakemake's own graph has them, with what each costs.
import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from snakemake.dag import DAG
from tokengeometry.operations import plan as planning
from tokengeometry.operations.cost.jobs import of_job


def planned_job(job):
    """A job of Snakemake's graph with what it costs; its rule is the name that its benchmark is kept under."""
    name, wildcards = Path(job.benchmark).parent.name, job.wildcards_dict
    threads = config["compute"]["threads"]
    if threads == "auto":
        threads = most_threads(name, os.cpu_count())
    model = MODELS.get(wildcards.get("model"))
    return planning.Job(
        name,
        wildcards,
        priority=job.rule.expand_priority(wildcards, job.input, 1),
        reads=tuple(job.unique_input),
        makes=tuple(job.output),
        temporary=frozenset(job.temp_output),
        cost=of_job(name, study, model, wildcards, threads, gpus_of(name) > 0),
    )


@cache
def plan_text():
    """The plan of everything that `all` asks for, whatever of it is there."""
    graph = DAG(workflow, workflow.rules, targetfiles=set(), targetrules=set())

    async def fill():
        await graph.update([await graph.rule2job(rules.all.rule)])

    # Snakemake asks for parameters within an event loop; another one needs a thread of its own.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, fill()).result()
    order = {rule: index for index, rule in enumerate(workflow.rules)}
    jobs = sorted(graph.jobs, key=lambda job: order[job.rule])
    planned = [planned_job(job) for job in jobs if job.benchmark]
    return f"{planning.table(planned)}\n\nresults: {study.folder}/"
