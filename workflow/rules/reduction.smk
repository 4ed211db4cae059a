# Fewer tokens: policies at budgets, what they keep and how fast they are. Not part of all.
from tokengeometry.reduction import policies
from tokengeometry.reduction import runs as reductions

REDUCTION = config["reduction"]
REDUCED = "<results>/{model}/{dataset}/{split}/reduction/"
RUNS = reductions.runs(REDUCTION)
# Of those that have a schedule: policy and budget.
BUDGETS = list(dict.fromkeys(run[:2] for run in RUNS if run[0] != reductions.WHOLE))
# At which places are shown, and of which policies.
SHOWN_BUDGET = min(
    (budget for _, budget in BUDGETS), key=lambda its: abs(int(its) - 50)
)
SHOWN_MOST = 4


wildcard_constraints:
    policy=r"[a-z0-9_]+(-[a-z]+)?",
    budget=r"\d{3}",
    seed=r"\d+",


def reduced_images(wildcards):
    return reductions.images_of(study, wildcards.dataset, wildcards.split)


def every_layer(wildcards):
    """The layers that the blocks of a model make; an end where not all are analysed."""
    layers = range(1, description(wildcards.model)["depth"] + 1)
    if missing := set(layers) - set(study.layers(wildcards.model)):
        sys.exit(
            f"error: models.{wildcards.model}.layers: a reduction by the geometry needs all layers from 1 to "
            f"{max(layers)}; {min(missing)} is missing"
        )
    return layers


def geometry(kind, needs):
    """The files of a kind of geometry, where a policy of the wildcards needs it."""

    def files(wildcards):
        name = wildcards.policy
        if name == reductions.WHOLE or kind not in needs(reductions.policy_of(name)):
            return []
        layers = every_layer(wildcards)
        if kind == "correlation":
            return [
                rules.correlation_matrix.output.store.format(
                    **dict(wildcards, layer=f"{layer:02d}")
                )
                for layer in layers
            ]
        if kind == "alpha":
            return rules.alpha_table.output.table
        return rules.statistic_table.output.table.replace("{statistic}", "rankme")

    return files


def tuned(wildcards):
    """The settings of a schedule that is tuned; else nothing."""
    schedule = reductions.policy_of(wildcards.policy).schedule
    if schedule not in reductions.TUNED:
        return {}
    settings = dict(REDUCTION["tuning"])
    if schedule == "exponential":
        settings.pop("steps")
    return in_order(settings)


def if_tuned(path):
    return lambda wildcards: path if tuned(wildcards) else []


def code_of_policy(script):
    """What a script and the policy of the wildcards do."""

    def found(wildcards):
        if wildcards.policy == reductions.WHOLE:
            return code(script)
        name = reductions.policy_of(wildcards.policy).module
        return code(script) + fingerprint(
            Path(policies.__file__).with_name(f"{name}.py")
        )

    return found


def of_runs(path):
    return lambda wildcards: [
        path.format(**dict(wildcards, policy=policy, budget=budget, seed=seed))
        for policy, budget, seed in RUNS
    ]


def of_budgets(path):
    return lambda wildcards: [
        path.format(**dict(wildcards, policy=policy, budget=budget))
        for policy, budget in BUDGETS
    ]


def shown():
    """The policies whose places are shown: the first few that differ in how they choose tokens."""
    modules = {}
    for policy, _ in BUDGETS:
        its = reductions.policy_of(policy)
        best = modules.setdefault(its.module, policy)
        if its.schedule_needs and not reductions.policy_of(best).schedule_needs:
            modules[its.module] = policy
    return list(modules.values())[:SHOWN_MOST]


def all_cores(wildcards):
    """Nothing else is to run beside what is timed."""
    return workflow.global_resources["_cores"].value or 8


rule reduction:
    input:
        every_branch(
            "<results>/{model}/{dataset}/{split}/reduction.csv",
            "<results>/{model}/{dataset}/{split}/figures/reduction_tradeoff.png",
            "<results>/{model}/{dataset}/{split}/figures/reduction_places.png",
        ),


rule reduction_whole:
    input:
        model=rules.model.output.description,
        weights=rules.model.output.weights,
        dataset=rules.dataset.output.description,
    output:
        store=directory(f"{REDUCED}whole.zarr"),
    log:
        "<results>/logs/reduction_whole/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/reduction_whole/{model}.{dataset}.{split}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("reduction_whole")
    resources:
        **ask("reduction_whole"),
    params:
        code=code("reduction_whole.py"),
        dataset_class=lambda wildcards: config["datasets"][wildcards.dataset]["class"],
        arguments=split_arguments,
        white=split_white,
        images=in_order(config["images"]),
        seed=config["seed"],
        samples=reduced_images,
    script:
        "../scripts/reduction_whole.py"


# How many tokens go at each block.
rule reduction_schedule:
    input:
        model=rules.model.output.description,
        weights=if_tuned(rules.model.output.weights),
        dataset=if_tuned(rules.dataset.output.description),
        alpha=geometry("alpha", lambda policy: policy.schedule_needs),
        correlation=geometry("correlation", lambda policy: policy.schedule_needs),
        rank=geometry("rank", lambda policy: policy.schedule_needs),
    output:
        schedule=f"{REDUCED}schedules/{{policy}}.{{budget}}.json",
    log:
        "<results>/logs/reduction_schedule/{model}/{dataset}/{split}/{policy}.{budget}.log",
    benchmark:
        "<results>/benchmarks/reduction_schedule/{model}.{dataset}.{split}.{policy}.{budget}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("reduction_schedule")
    resources:
        **ask("reduction_schedule"),
    params:
        code=code("reduction_schedule.py"),
        dataset_class=lambda wildcards: config["datasets"][wildcards.dataset]["class"],
        arguments=split_arguments,
        white=split_white,
        images=in_order(config["images"]),
        seed=config["seed"],
        samples=lambda wildcards: study.samples(wildcards.dataset, wildcards.split),
        tuning=tuned,
    script:
        "../scripts/reduction_schedule.py"


rule reduction_tokens:
    input:
        model=rules.model.output.description,
        weights=rules.model.output.weights,
        dataset=rules.dataset.output.description,
        whole=rules.reduction_whole.output.store,
        schedule=lambda wildcards: (
            []
            if wildcards.policy == reductions.WHOLE
            else rules.reduction_schedule.output.schedule
        ),
        alpha=geometry("alpha", lambda policy: policy.needs),
        correlation=geometry("correlation", lambda policy: policy.needs),
    output:
        store=directory(f"{REDUCED}tokens/{{policy}}.{{budget}}.{{seed}}.zarr"),
    log:
        "<results>/logs/reduction_tokens/{model}/{dataset}/{split}/{policy}.{budget}.{seed}.log",
    benchmark:
        "<results>/benchmarks/reduction_tokens/{model}.{dataset}.{split}.{policy}.{budget}.{seed}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("reduction_tokens")
    resources:
        **ask("reduction_tokens"),
    params:
        code=code_of_policy("reduction_tokens.py"),
        dataset_class=lambda wildcards: config["datasets"][wildcards.dataset]["class"],
        arguments=split_arguments,
        white=split_white,
        images=in_order(config["images"]),
        seed=config["seed"],
        samples=reduced_images,
    script:
        "../scripts/reduction_tokens.py"


rule reduction_scores:
    input:
        store=rules.reduction_tokens.output.store,
        whole=f"{REDUCED}tokens/{reductions.WHOLE}.100.0.zarr",
        dataset=rules.dataset.output.description,
    output:
        table=f"{REDUCED}scores/{{policy}}.{{budget}}.{{seed}}.csv",
    log:
        "<results>/logs/reduction_scores/{model}/{dataset}/{split}/{policy}.{budget}.{seed}.log",
    benchmark:
        "<results>/benchmarks/reduction_scores/{model}.{dataset}.{split}.{policy}.{budget}.{seed}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("reduction_scores"),
    params:
        code=code("reduction_scores.py"),
        dataset_class=lambda wildcards: config["datasets"][wildcards.dataset]["class"],
        arguments=split_arguments,
        white=split_white,
        scores=in_order(REDUCTION["scores"]),
        fit=in_order(config["fit"]),
    script:
        "../scripts/reduction_scores.py"


rule reduction_speed:
    input:
        model=rules.model.output.description,
        weights=rules.model.output.weights,
        schedule=rules.reduction_schedule.output.schedule,
        alpha=geometry("alpha", lambda policy: policy.needs),
        correlation=geometry("correlation", lambda policy: policy.needs),
    output:
        speed=f"{REDUCED}speed/{{policy}}.{{budget}}.json",
    log:
        "<results>/logs/reduction_speed/{model}/{dataset}/{split}/{policy}.{budget}.log",
    benchmark:
        "<results>/benchmarks/reduction_speed/{model}.{dataset}.{split}.{policy}.{budget}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: all_cores
    resources:
        **ask("reduction_speed"),
    params:
        code=code_of_policy("reduction_speed.py"),
        speed=in_order(REDUCTION["speed"]),
    script:
        "../scripts/reduction_speed.py"


rule reduction_table:
    input:
        scores=of_runs(rules.reduction_scores.output.table),
        stores=of_runs(rules.reduction_tokens.output.store),
        speeds=of_budgets(rules.reduction_speed.output.speed),
        schedules=of_budgets(rules.reduction_schedule.output.schedule),
        model=rules.model.output.description,
    output:
        table="<results>/{model}/{dataset}/{split}/reduction.csv",
        comparison="<results>/{model}/{dataset}/{split}/reduction_comparison.csv",
        schedule="<results>/{model}/{dataset}/{split}/schedule.json",
    log:
        "<results>/logs/reduction_table/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/reduction_table/{model}.{dataset}.{split}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("reduction_table"),
    params:
        code=code("reduction_table.py"),
        runs=RUNS,
        budgets=BUDGETS,
    script:
        "../scripts/reduction_table.py"


rule reduction_figures:
    input:
        table=rules.reduction_table.output.table,
        stores=lambda wildcards: [
            rules.reduction_tokens.output.store.format(
                **dict(wildcards, policy=policy, budget=SHOWN_BUDGET, seed="0")
            )
            for policy in shown()
        ],
        model=rules.model.output.description,
    output:
        tradeoff=multiext(
            "<results>/{model}/{dataset}/{split}/figures/reduction_tradeoff",
            ".png",
            ".svg",
        ),
        places=multiext(
            "<results>/{model}/{dataset}/{split}/figures/reduction_places",
            ".png",
            ".svg",
        ),
    log:
        "<results>/logs/reduction_figures/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/reduction_figures/{model}.{dataset}.{split}.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("reduction_figures.py"),
        policies=shown(),
        budget=int(SHOWN_BUDGET) / 100,
        branches=branches_shown(),
    script:
        "../scripts/reduction_figures.py"
