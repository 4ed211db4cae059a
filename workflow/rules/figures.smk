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
        trajectories=pictures("alpha_trajectories", "α over the layers", paper="1A, 6"),
        maps=pictures("alpha_maps", "α on the image"),
        errors=pictures("alpha_se_maps", "Standard error of α on the image"),
        ranges=pictures("fit_ranges", "α by the range of the fit"),
        dimensions=pictures(
            "dimension_trajectories", "α beside numbers of dimensions, over the layers"
        ),
    log:
        drawing_log("alpha"),
    benchmark:
        drawing_times("alpha")
    # Before those that differ in the clusters' bands only.
    priority: 10
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
        trajectories=pictures("{statistic}_trajectories", "{name} over the layers"),
        maps=pictures("{statistic}_maps", "{name} on the image"),
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
        told=told,
        branches=branches_shown(),
    script:
        "../scripts/statistic_figures.py"


rule draw_clusters:
    input:
        clusters=rules.cluster_table.output.table,
        model=rules.model.output.description,
    output:
        embedding=pictures(
            "clusters_embedding", "Clusters in UMAP's plane", paper="1B, 7"
        ),
        map=pictures("clusters_map", "Clusters on the image", paper="1C, 7"),
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
        pictures("claims", "The paper's statements"),
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
        pictures("eigenspectrum_fit", "An eigenspectrum with its power law", paper="3"),
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
        matrices=pictures(
            "correlation_matrices", "Correlation of every two tokens", paper="4, 5"
        ),
        mean=pictures("mean_correlation", "Mean correlation over the layers"),
        similarity=pictures("token_similarity", "Four measures of similarity"),
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
        pictures(
            "mean_correlation",
            "Mean correlation over the layers",
            paper="2",
            of=STUDY,
            caption="mean_correlation_of_all",
        ),
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
        scatter=pictures(
            "train_test", "α on train against α on test", paper="6", of=PAIR
        ),
        trajectories=pictures(
            "alpha_summary_trajectories", "Train beside test", paper="8", of=PAIR
        ),
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
