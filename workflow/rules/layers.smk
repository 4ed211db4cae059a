# The chain: layer 0 from the images, layer ℓ from layer ℓ−1's store.


rule pixels:
    input:
        model=rules.model.output.description,
        dataset=rules.dataset.output.description,
    output:
        store=stored(
            ACTIVATIONS.replace("{layer}", "00"), config["activations"]["keep"]
        ),
    log:
        "<results>/logs/pixels/{model}/{dataset}/{split}/part_{part}.log",
    benchmark:
        "<results>/benchmarks/pixels/{model}.{dataset}.{split}.part_{part}.tsv"
    priority: chain_priority
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("pixels")
    resources:
        **ask("pixels"),
    params:
        code=code("pixels.py"),
        dataset_class=lambda wildcards: config["datasets"][wildcards.dataset]["class"],
        arguments=split_arguments,
        white=split_white,
        images=in_order(config["images"]),
        seed=config["seed"],
        part=part_range,
        dtype=config["activations"]["dtype"],
    script:
        "../scripts/pixels.py"


rule layer:
    input:
        previous=previous_layer,
        model=rules.model.output.description,
        weights=rules.model.output.weights,
    output:
        store=stored(ACTIVATIONS, config["activations"]["keep"]),
    log:
        "<results>/logs/layer/{model}/{dataset}/{split}/layer_{layer}.part_{part}.log",
    benchmark:
        "<results>/benchmarks/layer/{model}.{dataset}.{split}.layer_{layer}.part_{part}.tsv"
    wildcard_constraints:
        layer=r"(?!00)\d{2}",
    # Above the pixels, so that a chain goes to its end before the next one begins.
    priority: 5
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("layer")
    resources:
        **ask("layer"),
    params:
        code=code("layer.py"),
        precision=config["forward"]["precision"],
        dtype=config["activations"]["dtype"],
    script:
        "../scripts/layer.py"


# What the precision of the chain adds to a layer, where it is coarser than float32.
rule noise:
    input:
        previous=previous_reference,
        store=ACTIVATIONS.replace("{part}", "000"),
        model=rules.model.output.description,
        weights=rules.model.output.weights,
    output:
        store=directory(NOISE),
    log:
        "<results>/logs/noise/{model}/{dataset}/{split}/layer_{layer}.log",
    benchmark:
        "<results>/benchmarks/noise/{model}.{dataset}.{split}.layer_{layer}.tsv"
    wildcard_constraints:
        layer=r"(?!00)\d{2}",
    # Before the activations would go.
    priority: 10
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("noise")
    resources:
        **ask("noise"),
    params:
        code=code("noise.py"),
        samples=measured_samples,
    script:
        "../scripts/noise.py"
