# Figures of a branch, of a data set's two splits, and across branches.
rule figures:
    input:
        every_branch(
            *expand(
                "<results>/{{model}}/{{dataset}}/{{split}}/figures/{name}.{format}",
                name=study.branch_figures,
                format=["png", "svg"],
            )
        ),
        every_pair(
            *expand(
                "<results>/{{model}}/{{dataset}}/figures/{name}.{format}",
                name=PAIR_FIGURES,
                format=["png", "svg"],
            )
        ),
        multiext("<results>/figures/mean_correlation", ".png", ".svg"),


rule draw_alpha_trajectories:
    input:
        table=rules.alpha_table.output.table,
        clusters=rules.cluster_table.output.table,
    output:
        multiext(
            "<results>/{model}/{dataset}/{split}/figures/alpha_trajectories",
            ".png",
            ".svg",
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/{split}/alpha_trajectories.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.{split}.alpha_trajectories.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_alpha_trajectories"),
    params:
        code=code("statistic_trajectories.py", "power_law"),
        statistic="power_law",
    script:
        "../scripts/statistic_trajectories.py"


use rule draw_alpha_trajectories as draw_statistic_trajectories with:
    input:
        table=rules.statistic_table.output.table,
        clusters=rules.cluster_table.output.table,
    output:
        multiext(
            "<results>/{model}/{dataset}/{split}/figures/{statistic}_trajectories",
            ".png",
            ".svg",
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/{split}/{statistic}_trajectories.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.{split}.{statistic}_trajectories.tsv"
    params:
        code=lambda wildcards: code(
            "statistic_trajectories.py", study.statistics[wildcards.statistic]
        ),
        statistic=lambda wildcards: study.statistics[wildcards.statistic],


rule draw_alpha_maps:
    input:
        table=rules.alpha_table.output.table,
        model=rules.model.output.description,
    output:
        multiext(
            "<results>/{model}/{dataset}/{split}/figures/alpha_maps", ".png", ".svg"
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/{split}/alpha_maps.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.{split}.alpha_maps.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_alpha_maps"),
    params:
        code=code("statistic_maps.py", "power_law"),
        statistic="power_law",
    script:
        "../scripts/statistic_maps.py"


use rule draw_alpha_maps as draw_statistic_maps with:
    input:
        table=rules.statistic_table.output.table,
        model=rules.model.output.description,
    output:
        multiext(
            "<results>/{model}/{dataset}/{split}/figures/{statistic}_maps",
            ".png",
            ".svg",
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/{split}/{statistic}_maps.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.{split}.{statistic}_maps.tsv"
    params:
        code=lambda wildcards: code(
            "statistic_maps.py", study.statistics[wildcards.statistic]
        ),
        statistic=lambda wildcards: study.statistics[wildcards.statistic],


rule draw_clusters_embedding:
    input:
        clusters=rules.cluster_table.output.table,
    output:
        multiext(
            "<results>/{model}/{dataset}/{split}/figures/clusters_embedding",
            ".png",
            ".svg",
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/{split}/clusters_embedding.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.{split}.clusters_embedding.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_clusters_embedding"),
    params:
        code=code("clusters_embedding.py"),
    script:
        "../scripts/clusters_embedding.py"


rule draw_clusters_map:
    input:
        clusters=rules.cluster_table.output.table,
        model=rules.model.output.description,
    output:
        multiext(
            "<results>/{model}/{dataset}/{split}/figures/clusters_map", ".png", ".svg"
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/{split}/clusters_map.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.{split}.clusters_map.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_clusters_map"),
    params:
        code=code("clusters_map.py"),
    script:
        "../scripts/clusters_map.py"


rule draw_correlation_matrices:
    input:
        stores=layers_of(rules.correlation_matrix.output.store),
    output:
        multiext(
            "<results>/{model}/{dataset}/{split}/figures/correlation_matrices",
            ".png",
            ".svg",
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/{split}/correlation_matrices.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.{split}.correlation_matrices.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_correlation_matrices"),
    params:
        code=code("correlation_matrices.py"),
    script:
        "../scripts/correlation_matrices.py"


rule draw_eigenspectrum_fit:
    input:
        store=example_spectrum,
        model=rules.model.output.description,
    output:
        multiext(
            "<results>/{model}/{dataset}/{split}/figures/eigenspectrum_fit",
            ".png",
            ".svg",
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/{split}/eigenspectrum_fit.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.{split}.eigenspectrum_fit.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_eigenspectrum_fit"),
    params:
        code=code("eigenspectrum_fit.py"),
        layer=config["figures"]["eigenspectrum"]["layer"],
        token=config["figures"]["eigenspectrum"]["token"],
        fit=in_order(config["fit"]),
    script:
        "../scripts/eigenspectrum_fit.py"


rule draw_mean_correlation:
    input:
        tables=[rules.correlation_table.output.table],
    output:
        multiext(
            "<results>/{model}/{dataset}/{split}/figures/mean_correlation",
            ".png",
            ".svg",
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/{split}/mean_correlation.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.{split}.mean_correlation.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_mean_correlation"),
    params:
        code=code("mean_correlation.py"),
        labels=lambda wildcards: split_labels(wildcards)[-1:],
        every_label=split_labels,
    script:
        "../scripts/mean_correlation.py"


rule draw_mean_correlation_of_all_branches:
    input:
        tables=every_branch(rules.correlation_table.output.table),
    output:
        multiext("<results>/figures/mean_correlation", ".png", ".svg"),
    log:
        "<results>/logs/figures/all/mean_correlation.log",
    benchmark:
        "<results>/benchmarks/figures/all.mean_correlation.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_mean_correlation_of_all_branches"),
    params:
        code=code("mean_correlation.py"),
        labels=[branch_label(branch) for branch in study.branches],
        every_label=[branch_label(branch) for branch in study.branches],
    script:
        "../scripts/mean_correlation.py"


rule draw_train_test:
    input:
        train=of_split(rules.alpha_table.output.table, "train"),
        test=of_split(rules.alpha_table.output.table, "test"),
    output:
        multiext("<results>/{model}/{dataset}/figures/train_test", ".png", ".svg"),
    log:
        "<results>/logs/figures/{model}/{dataset}/train_test.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.train_test.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_train_test"),
    params:
        code=code("train_test.py"),
    script:
        "../scripts/train_test.py"


rule draw_alpha_summary_trajectories:
    input:
        train=of_split(rules.alpha_table.output.table, "train"),
        test=of_split(rules.alpha_table.output.table, "test"),
    output:
        multiext(
            "<results>/{model}/{dataset}/figures/alpha_summary_trajectories",
            ".png",
            ".svg",
        ),
    log:
        "<results>/logs/figures/{model}/{dataset}/alpha_summary_trajectories.log",
    benchmark:
        "<results>/benchmarks/figures/{model}.{dataset}.alpha_summary_trajectories.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        **ask("draw_alpha_summary_trajectories"),
    params:
        code=code("alpha_summary_trajectories.py"),
    script:
        "../scripts/alpha_summary_trajectories.py"
