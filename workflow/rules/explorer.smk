# Pages that need no server: of a branch, of all branches, and of two beside each other.
rule explorer_page:
    input:
        alpha=rules.alpha_table.output.table,
        clusters=rules.cluster_table.output.table,
        claims=rules.claims_table.output.table,
        statistics=every_statistic(rules.statistic_table.output.table),
        spectra=layers_of(rules.spectra.output.store),
        correlations=layers_of(rules.correlation_matrix.output.store),
        uncertainty=layers_of(UNCERTAINTY) if study.folds else [],
        model=rules.model.output.description,
        dataset=rules.dataset.output.description,
    output:
        page=reported(EXPLORED, EXPLORER, "Page to explore the branch", caption="page"),
    log:
        "<results>/logs/explorer_page/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/explorer_page/{model}.{dataset}.{split}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("explorer_page"),
    params:
        code=code("explorer_page.py"),
        labels=statistic_labels,
        fit=in_order(config["fit"]),
        thumbnails=thumbnails,
        dataset_class=lambda wildcards: config["datasets"][wildcards.dataset]["class"],
        arguments=split_arguments,
        white=split_white,
        images=in_order(config["images"]),
        seed=config["seed"],
        samples=lambda wildcards: study.samples(wildcards.dataset, wildcards.split),
        settings=lambda wildcards: facts.settings_of(
            study, Branch(wildcards.model, wildcards.dataset, wildcards.split)
        ),
    script:
        "../scripts/explorer_page.py"


rule explorer_index:
    input:
        alphas=every_branch(rules.alpha_table.output.table),
        correlations=every_branch(rules.correlation_table.output.table),
        claims=every_branch(rules.claims_table.output.table),
        models=MODELS_EXPLORED,
    output:
        page="<results>/explorer/index.html",
    log:
        "<results>/logs/explorer_index.log",
    benchmark:
        "<results>/benchmarks/explorer_index/all.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("explorer_index.py"),
        branches=[study.counted(branch) for branch in study.branches],
    script:
        "../scripts/explorer_index.py"


rule explorer_compare:
    input:
        alphas=every_branch(rules.alpha_table.output.table),
        clusters=every_branch(rules.cluster_table.output.table),
        statistics=every_branch(*every_statistic(rules.statistic_table.output.table)),
        models=MODELS_EXPLORED,
    output:
        page=reported(
            "<results>/explorer/compare.html",
            EXPLORER,
            "Two branches beside each other",
        ),
    log:
        "<results>/logs/explorer_compare.log",
    benchmark:
        "<results>/benchmarks/explorer_compare/all.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("explorer_compare.py"),
        labels=statistic_labels(None),
        branches=[study.counted(branch) for branch in study.branches],
    script:
        "../scripts/explorer_compare.py"


rule explorer:
    input:
        every_branch(EXPLORED),
        rules.explorer_index.output.page,
        rules.explorer_compare.output.page if len(study.branches) > 1 else [],
