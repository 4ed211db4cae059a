# Sums over samples, part by part; then the spectra and correlations of a layer from all its parts.


rule moments:
    input:
        store=ACTIVATIONS,
    output:
        store=stored(
            "results/{model}/{dataset}/{split}/moments/layer_{layer}/part_{part}.zarr",
            config["moments"]["keep"],
        ),
    log:
        "results/logs/moments/{model}/{dataset}/{split}/layer_{layer}.part_{part}.log",
    benchmark:
        "results/benchmarks/moments/{model}.{dataset}.{split}.layer_{layer}.part_{part}.tsv"
    # Above the chain, so that temporary activations go before new ones come.
    priority: 10
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("moments")
    resources:
        **ask("moments"),
    params:
        code=code("moments.py"),
    script:
        "../scripts/moments.py"


rule concatenated:
    input:
        stores=parts_of(ACTIVATIONS, concatenated=True),
    output:
        store=directory(
            "results/{model}/{dataset}/{split}/moments/layer_{layer}/concatenated.zarr"
        ),
    log:
        "results/logs/concatenated/{model}/{dataset}/{split}/layer_{layer}.log",
    benchmark:
        "results/benchmarks/concatenated/{model}.{dataset}.{split}.layer_{layer}.tsv"
    priority: 10
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("concatenated")
    resources:
        **ask("concatenated"),
    params:
        code=code("concatenated.py"),
        samples=lambda wildcards: study.concatenated(
            wildcards.dataset, wildcards.split
        )[0],
    script:
        "../scripts/concatenated.py"


rule spectra:
    input:
        stores=parts_of(rules.moments.output.store),
        concatenated=rules.concatenated.output.store,
    output:
        store=directory("results/{model}/{dataset}/{split}/spectra/layer_{layer}.zarr"),
    log:
        "results/logs/spectra/{model}/{dataset}/{split}/layer_{layer}.log",
    benchmark:
        "results/benchmarks/spectra/{model}.{dataset}.{split}.layer_{layer}.tsv"
    priority: 10
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("spectra")
    resources:
        **ask("spectra"),
    params:
        code=code("spectra.py"),
    script:
        "../scripts/spectra.py"


rule correlation_matrix:
    input:
        stores=parts_of(rules.moments.output.store),
        model=rules.model.output.description,
    output:
        store=directory(
            "results/{model}/{dataset}/{split}/correlations/layer_{layer}.zarr"
        ),
    log:
        "results/logs/correlation_matrix/{model}/{dataset}/{split}/layer_{layer}.log",
    benchmark:
        "results/benchmarks/correlation_matrix/{model}.{dataset}.{split}.layer_{layer}.tsv"
    priority: 10
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("correlation_matrix"),
    params:
        code=code("correlation_matrix.py"),
    script:
        "../scripts/correlation_matrix.py"
