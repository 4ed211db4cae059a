# Fewer tokens: policies at budgets, what they keep and how fast they are. Not part of all.
rule reduction:
    input:
        every_branch(
            "<results>/{model}/{dataset}/{split}/reduction.csv",
            "<results>/{model}/{dataset}/{split}/figures/reduction_tradeoff.png",
            "<results>/{model}/{dataset}/{split}/figures/reduction_places.png",
            "<results>/explorer/{model}.{dataset}.{split}.reduction.html",
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
        **only_if_tuned(ask("reduction_schedule")),
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


# All budgets of a policy in one job, which has the machine to itself.
rule reduction_speed:
    input:
        model=rules.model.output.description,
        weights=rules.model.output.weights,
        schedules=of_its_budgets(rules.reduction_schedule.output.schedule),
        alpha=geometry("alpha", lambda policy: policy.needs),
        correlation=geometry("correlation", lambda policy: policy.needs),
    output:
        speed=f"{REDUCED}speed/{{policy}}.json",
    log:
        "<results>/logs/reduction_speed/{model}/{dataset}/{split}/{policy}.log",
    benchmark:
        "<results>/benchmarks/reduction_speed/{model}.{dataset}.{split}.{policy}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: all_cores
    resources:
        **ask("reduction_speed"),
    params:
        code=code_of_policy("reduction_speed.py"),
        speed=in_order(REDUCTION["speed"]),
        budgets=its_budgets,
    script:
        "../scripts/reduction_speed.py"


rule reduction_table:
    input:
        scores=of_runs(rules.reduction_scores.output.table),
        stores=of_runs(rules.reduction_tokens.output.store),
        speeds=of_policies(rules.reduction_speed.output.speed),
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
        branches=reduced_branch,
    script:
        "../scripts/reduction_figures.py"


# Beside the pages of the explorer, which do not wait for it.
rule reduction_page:
    input:
        table=rules.reduction_table.output.table,
        schedules=of_budgets(rules.reduction_schedule.output.schedule),
        stores=of_budgets(rules.reduction_tokens.output.store.replace("{seed}", "0")),
        model=rules.model.output.description,
    output:
        page="<results>/explorer/{model}.{dataset}.{split}.reduction.html",
    log:
        "<results>/logs/reduction_page/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/reduction_page/{model}.{dataset}.{split}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("reduction_page"),
    params:
        code=code("reduction_page.py"),
        budgets=BUDGETS,
        images=reduced_images,
    script:
        "../scripts/reduction_page.py"
