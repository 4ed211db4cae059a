# The spectra and correlations of a layer from the moments of all its parts.


rule spectra:
    input:
        stores=all_moments,
        concatenated=CONCATENATED,
        noise=measured_noise,
    output:
        store=directory(
            "<results>/{model}/{dataset}/{split}/spectra/layer_{layer}.zarr"
        ),
    log:
        "<results>/logs/spectra/{model}/{dataset}/{split}/layer_{layer}.log",
    benchmark:
        "<results>/benchmarks/spectra/{model}.{dataset}.{split}.layer_{layer}.tsv"
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
        stores=all_moments,
        model=rules.model.output.description,
    output:
        store=directory(
            "<results>/{model}/{dataset}/{split}/correlations/layer_{layer}.zarr"
        ),
    log:
        "<results>/logs/correlation_matrix/{model}/{dataset}/{split}/layer_{layer}.log",
    benchmark:
        "<results>/benchmarks/correlation_matrix/{model}.{dataset}.{split}.layer_{layer}.tsv"
    priority: 10
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("correlation_matrix"),
    params:
        code=code("correlation_matrix.py"),
    script:
        "../scripts/correlation_matrix.py"
