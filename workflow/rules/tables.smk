# Tables of a branch over all its layers, and of a data set's two splits.
rule alpha:
    input:
        every_branch("<results>/{model}/{dataset}/{split}/alpha.csv"),


rule statistics:
    input:
        every_branch(
            *expand(
                "<results>/{{model}}/{{dataset}}/{{split}}/{table}.csv",
                table=study.statistics,
            )
        ),


rule correlations:
    input:
        every_branch("<results>/{model}/{dataset}/{split}/correlation.csv"),


rule clusters:
    input:
        every_branch(
            "<results>/{model}/{dataset}/{split}/clusters.csv",
            "<results>/{model}/{dataset}/{split}/alpha_means.csv",
        ),


rule summaries:
    input:
        every_pair("<results>/{model}/{dataset}/summary.csv"),


rule claims:
    input:
        every_branch("<results>/{model}/{dataset}/{split}/claims.csv"),
        every_pair("<results>/{model}/{dataset}/claims.csv"),


rule alpha_table:
    input:
        stores=layers_of(rules.spectra.output.store),
        uncertainty=layers_of(UNCERTAINTY) if study.folds else [],
        concatenated=layers_of(CONCATENATED) if study.folds else [],
        model=rules.model.output.description,
    output:
        table=reported(
            "<results>/{model}/{dataset}/{split}/alpha.csv", TABLES, "α of every token"
        ),
    log:
        "<results>/logs/alpha_table/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/alpha_table/{model}.{dataset}.{split}.tsv"
    # What takes longest to the last figure goes first.
    priority: 20
    conda:
        "../../envs/environment.yaml"
    # The images' scores of a layer.
    resources:
        **ask("alpha_table"),
    params:
        code=code("alpha_table.py", "power_law"),
        settings=settings_of("power_law"),
    script:
        "../scripts/alpha_table.py"


rule statistic_table:
    input:
        stores=layers_of(rules.spectra.output.store),
        model=rules.model.output.description,
    output:
        table=reported(
            "<results>/{model}/{dataset}/{split}/{statistic}.csv",
            TABLES,
            "{name} of every token",
        ),
    log:
        "<results>/logs/statistic_table/{model}/{dataset}/{split}/{statistic}.log",
    benchmark:
        "<results>/benchmarks/statistic_table/{model}.{dataset}.{split}.{statistic}.tsv"
    priority: 20
    conda:
        "../../envs/environment.yaml"
    # One of moments grows with the samples.
    resources:
        **ask("statistic_table"),
    params:
        code=lambda wildcards: code(
            "statistic_table.py", study.statistics[wildcards.statistic]
        ),
        statistic=lambda wildcards: study.statistics[wildcards.statistic],
        told=told,
        settings=lambda wildcards: settings_of(study.statistics[wildcards.statistic]),
    script:
        "../scripts/statistic_table.py"


# Means of α, how it depends on the range of the fit, and what it does not see.
rule alpha_means_table:
    input:
        stores=layers_of(rules.spectra.output.store),
        uncertainty=layers_of(UNCERTAINTY) if study.folds else [],
        alpha=rules.alpha_table.output.table,
        clusters="<results>/{model}/{dataset}/{split}/clusters.csv",
        model=rules.model.output.description,
    output:
        means=reported(
            "<results>/{model}/{dataset}/{split}/alpha_means.csv", TABLES, "Means of α"
        ),
        ranges=reported(
            "<results>/{model}/{dataset}/{split}/fit_ranges.csv",
            TABLES,
            "α by the range of the fit",
        ),
        dimensions=reported(
            "<results>/{model}/{dataset}/{split}/dimensions.csv",
            TABLES,
            "α beside numbers of dimensions",
        ),
    log:
        "<results>/logs/alpha_means_table/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/alpha_means_table/{model}.{dataset}.{split}.tsv"
    priority: 20
    conda:
        "../../envs/environment.yaml"
    # The images' scores of a layer.
    resources:
        **ask("alpha_means_table"),
    params:
        code=code("alpha_means.py"),
        settings=settings_of("power_law"),
    script:
        "../scripts/alpha_means.py"


rule correlation_table:
    input:
        stores=layers_of(rules.correlation_matrix.output.store),
        uncertainty=layers_of(UNCERTAINTY) if study.folds else [],
        model=rules.model.output.description,
    output:
        table=reported(
            "<results>/{model}/{dataset}/{split}/correlation.csv",
            TABLES,
            "Correlation between tokens",
        ),
    log:
        "<results>/logs/correlation_table/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/correlation_table/{model}.{dataset}.{split}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("correlation_table"),
    params:
        code=code("correlation_table.py"),
    script:
        "../scripts/correlation_table.py"


rule cluster_table:
    input:
        alpha=rules.alpha_table.output.table,
    output:
        table=reported(
            "<results>/{model}/{dataset}/{split}/clusters.csv",
            TABLES,
            "Clusters of tokens",
        ),
    log:
        "<results>/logs/cluster_table/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/cluster_table/{model}.{dataset}.{split}.tsv"
    priority: 20
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("cluster_table"),
    params:
        code=code("cluster_table.py"),
        clusters=in_order(config["clusters"]),
    script:
        "../scripts/cluster_table.py"


# What the paper says, judged on the branch.
rule claims_table:
    input:
        alpha=rules.alpha_table.output.table,
        clusters=rules.cluster_table.output.table,
        correlation=rules.correlation_table.output.table,
        stores=layers_of(rules.spectra.output.store),
        uncertainty=layers_of(UNCERTAINTY) if study.folds else [],
        control=control_claims,
        model=rules.model.output.description,
    output:
        table=reported(
            "<results>/{model}/{dataset}/{split}/claims.csv",
            TABLES,
            "The paper's statements, judged",
        ),
    log:
        "<results>/logs/claims_table/{model}/{dataset}/{split}.log",
    benchmark:
        "<results>/benchmarks/claims_table/{model}.{dataset}.{split}.tsv"
    priority: 20
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("claims_table"),
    params:
        code=code("claims_table.py"),
        fit={key: config["fit"][key] for key in ("ranks", "weights")},
        clusters=in_order(config["clusters"]),
        margin=float(config["uncertainty"]["margin"]),
    script:
        "../scripts/claims_table.py"


# And of the two splits of a data set.
rule claims_of_splits:
    input:
        train=of_split(rules.alpha_table.output.table, "train"),
        test=of_split(rules.alpha_table.output.table, "test"),
        train_spectra=layers_of(*of_split(rules.spectra.output.store, "train")),
        test_spectra=layers_of(*of_split(rules.spectra.output.store, "test")),
        train_uncertainty=(
            layers_of(*of_split(UNCERTAINTY, "train")) if study.folds else []
        ),
        test_uncertainty=(
            layers_of(*of_split(UNCERTAINTY, "test")) if study.folds else []
        ),
        model=rules.model.output.description,
    output:
        table=reported(
            "<results>/{model}/{dataset}/claims.csv",
            TABLES,
            "The statement on train and test, judged",
            caption="claims_of_splits",
        ),
    log:
        "<results>/logs/claims_of_splits/{model}/{dataset}.log",
    benchmark:
        "<results>/benchmarks/claims_of_splits/{model}.{dataset}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("claims_of_splits"),
    params:
        code=code("claims_of_splits.py"),
        fit={key: config["fit"][key] for key in ("ranks", "weights")},
        margin=float(config["uncertainty"]["margin"]),
    script:
        "../scripts/claims_of_splits.py"


rule train_test_table:
    input:
        train=of_split(rules.alpha_table.output.table, "train"),
        test=of_split(rules.alpha_table.output.table, "test"),
    output:
        table=reported(
            "<results>/{model}/{dataset}/summary.csv", TABLES, "Train against test"
        ),
    log:
        "<results>/logs/train_test_table/{model}/{dataset}.log",
    benchmark:
        "<results>/benchmarks/train_test_table/{model}.{dataset}.tsv"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("train_test_table.py"),
    script:
        "../scripts/train_test_table.py"
