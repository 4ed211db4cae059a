# Tables of a branch, over all its layers.
rule alpha:
    input:
        every_branch("results/{model}/{dataset}/{split}/alpha.csv"),


rule correlations:
    input:
        every_branch("results/{model}/{dataset}/{split}/correlation.csv"),


rule clusters:
    input:
        every_branch("results/{model}/{dataset}/{split}/clusters.csv"),


rule alpha_table:
    input:
        stores=layers_of(rules.spectra.output.store),
        model=rules.model.output.description,
    output:
        table="results/{model}/{dataset}/{split}/alpha.csv",
    log:
        "results/logs/alpha_table/{model}/{dataset}/{split}.log",
    benchmark:
        "results/benchmarks/alpha_table/{model}.{dataset}.{split}.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("alpha_table.py"),
        fit=config["fit"],
    script:
        "../scripts/alpha_table.py"


rule correlation_table:
    input:
        stores=layers_of(rules.correlation_matrix.output.store),
        model=rules.model.output.description,
    output:
        table="results/{model}/{dataset}/{split}/correlation.csv",
    log:
        "results/logs/correlation_table/{model}/{dataset}/{split}.log",
    benchmark:
        "results/benchmarks/correlation_table/{model}.{dataset}.{split}.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("correlation_table.py"),
    script:
        "../scripts/correlation_table.py"


rule cluster_table:
    input:
        alpha=rules.alpha_table.output.table,
    output:
        table="results/{model}/{dataset}/{split}/clusters.csv",
    log:
        "results/logs/cluster_table/{model}/{dataset}/{split}.log",
    benchmark:
        "results/benchmarks/cluster_table/{model}.{dataset}.{split}.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("cluster_table.py"),
        clusters=config["clusters"],
    script:
        "../scripts/cluster_table.py"
