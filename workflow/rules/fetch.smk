# What needs the network: local, and first.
rule fetch:
    input:
        expand("results/models/{model}/model.json", model=config["models"]),
        every_split("results/data/{dataset}/splits/{split}.json"),


rule model:
    output:
        weights="results/models/{model}/weights.safetensors",
        description=reported(
            "results/models/{model}/model.json", RUN, "Model and weights"
        ),
    log:
        "results/logs/model/{model}.log",
    benchmark:
        "results/benchmarks/model/{model}.tsv"
    priority: 100
    localrule: True
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("model"),
    params:
        code=code("model.py"),
        architecture=lambda wildcards: config["models"][wildcards.model]["architecture"],
        image_size=lambda wildcards: config["models"][wildcards.model]["image_size"],
        source=lambda wildcards: in_order(
            without_place(config["models"][wildcards.model]["weights"])
        ),
        content=lambda wildcards: planned_content(wildcards.model),
    script:
        "../scripts/model.py"


rule dataset:
    output:
        description=reported(
            "results/data/{dataset}/splits/{split}.json",
            RUN,
            "Split and its images",
            caption="split",
        ),
    log:
        "results/logs/dataset/{dataset}/{split}.log",
    benchmark:
        "results/benchmarks/dataset/{dataset}.{split}.tsv"
    priority: 100
    localrule: True
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("dataset"),
    params:
        code=code("dataset.py"),
        dataset_class=lambda wildcards: config["datasets"][wildcards.dataset]["class"],
        arguments=split_arguments,
        white=split_white,
        told=told_of_split,
    script:
        "../scripts/dataset.py"
