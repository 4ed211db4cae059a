# From the stored activations: sums over samples, part by part, and the spectrum of all tokens concatenated.


rule moments:
    input:
        store=ACTIVATIONS,
    output:
        store=stored(MOMENTS, config["moments"]["keep"]),
    log:
        "<results>/logs/moments/{model}/{dataset}/{split}/layer_{layer}.part_{part}.log",
    benchmark:
        "<results>/benchmarks/moments/{model}.{dataset}.{split}.layer_{layer}.part_{part}.tsv"
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
        stores=parts_of(ACTIVATIONS, joint_samples),
        noise=measured_noise,
    output:
        store=directory(CONCATENATED),
    log:
        "<results>/logs/concatenated/{model}/{dataset}/{split}/layer_{layer}.log",
    benchmark:
        "<results>/benchmarks/concatenated/{model}.{dataset}.{split}.layer_{layer}.tsv"
    priority: 10
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("concatenated")
    resources:
        **ask("concatenated"),
    params:
        code=code("concatenated.py"),
        samples=joint_samples,
        folds=study.folds,
    script:
        "../scripts/concatenated.py"


# How sure the spectra are: every image's part in them, and what they say of held-out images.
rule uncertainty:
    input:
        stores=parts_of(ACTIVATIONS, fold_samples),
        model=rules.model.output.description,
    output:
        store=directory(UNCERTAINTY),
    log:
        "<results>/logs/uncertainty/{model}/{dataset}/{split}/layer_{layer}.log",
    benchmark:
        "<results>/benchmarks/uncertainty/{model}.{dataset}.{split}.layer_{layer}.tsv"
    priority: 10
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("uncertainty")
    resources:
        **ask("uncertainty"),
    params:
        code=code("uncertainty.py"),
        samples=fold_samples,
        folds=study.folds,
    script:
        "../scripts/uncertainty.py"
