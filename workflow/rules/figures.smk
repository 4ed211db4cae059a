# Figures of a branch, of a data set's two splits, and across branches. A job draws all figures of the same tables.
rule draw_alpha:
    input:
        table=rules.alpha_table.output.table,
        means=rules.alpha_means_table.output.means,
        ranges=rules.alpha_means_table.output.ranges,
        dimensions=rules.alpha_means_table.output.dimensions,
        clusters=rules.cluster_table.output.table,
        model=rules.model.output.description,
    output:
        trajectories=pictures("alpha_trajectories"),
        maps=pictures("alpha_maps"),
        errors=pictures("alpha_se_maps"),
        ranges=pictures("fit_ranges"),
        dimensions=pictures("dimension_trajectories"),
    log:
        drawing_log("alpha"),
    benchmark:
        drawing_times("alpha")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("alpha_figures.py"),
        ranks=config["fit"]["ranks"],
        branches=branches_shown(),
    script:
        "../scripts/alpha_figures.py"


# Every other statistic of the study.
rule draw_statistic:
    input:
        table=rules.statistic_table.output.table,
        clusters=rules.cluster_table.output.table,
        model=rules.model.output.description,
    output:
        trajectories=pictures("{statistic}_trajectories"),
        maps=pictures("{statistic}_maps"),
    log:
        drawing_log("{statistic}"),
    benchmark:
        drawing_times("{statistic}")
    conda:
        "../../envs/environment.yaml"
    params:
        code=lambda wildcards: code(
            "statistic_figures.py", study.statistics[wildcards.statistic]
        ),
        statistic=lambda wildcards: study.statistics[wildcards.statistic],
        branches=branches_shown(),
    script:
        "../scripts/statistic_figures.py"


rule draw_clusters:
    input:
        clusters=rules.cluster_table.output.table,
        model=rules.model.output.description,
    output:
        embedding=pictures("clusters_embedding"),
        map=pictures("clusters_map"),
    log:
        drawing_log("clusters"),
    benchmark:
        drawing_times("clusters")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("cluster_figures.py"),
        branches=branches_shown(),
    script:
        "../scripts/cluster_figures.py"


rule draw_claims:
    input:
        table=rules.claims_table.output.table,
    output:
        pictures("claims"),
    log:
        drawing_log("claims"),
    benchmark:
        drawing_times("claims")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("claims_figure.py"),
        branches=branches_shown(),
    script:
        "../scripts/claims_figure.py"


rule draw_eigenspectrum:
    input:
        store=example_spectrum,
        model=rules.model.output.description,
    output:
        pictures("eigenspectrum_fit"),
    log:
        drawing_log("eigenspectrum"),
    benchmark:
        drawing_times("eigenspectrum")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("eigenspectrum_fit.py"),
        layer=config["figures"]["eigenspectrum"]["layer"],
        token=config["figures"]["eigenspectrum"]["token"],
        fit=in_order(config["fit"]),
        branches=branches_shown(),
    script:
        "../scripts/eigenspectrum_fit.py"


rule draw_correlation:
    input:
        stores=layers_of(rules.correlation_matrix.output.store),
        table=rules.correlation_table.output.table,
        model=rules.model.output.description,
    output:
        matrices=pictures("correlation_matrices"),
        mean=pictures("mean_correlation"),
        similarity=pictures("token_similarity"),
    log:
        drawing_log("correlation"),
    benchmark:
        drawing_times("correlation")
    conda:
        "../../envs/environment.yaml"
    # Each layer has a matrix of token × token.
    resources:
        **ask("figures"),
    params:
        code=code("correlation_figures.py"),
        every_label=split_labels,
        branches=branches_shown(),
    script:
        "../scripts/correlation_figures.py"


rule draw_all_branches:
    input:
        tables=every_branch(rules.correlation_table.output.table),
    output:
        pictures("mean_correlation", STUDY),
    log:
        drawing_log("mean_correlation", "all/"),
    benchmark:
        drawing_times("mean_correlation", "all/")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("mean_correlation.py"),
        labels=[branch_label(branch) for branch in study.branches],
        branches=[study.counted(branch) for branch in study.branches],
    script:
        "../scripts/mean_correlation.py"


rule draw_train_test:
    input:
        train=of_split(rules.alpha_table.output.table, "train"),
        test=of_split(rules.alpha_table.output.table, "test"),
        train_means=of_split(rules.alpha_means_table.output.means, "train"),
        test_means=of_split(rules.alpha_means_table.output.means, "test"),
    output:
        scatter=pictures("train_test", PAIR),
        trajectories=pictures("alpha_summary_trajectories", PAIR),
    log:
        drawing_log("train_test", PAIR),
    benchmark:
        drawing_times("train_test", PAIR)
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("train_test_figures.py"),
        branches=branches_shown("train", "test"),
    script:
        "../scripts/train_test_figures.py"


rule figures:
    input:
        [path for figure in FIGURES for path in every(figure)],
