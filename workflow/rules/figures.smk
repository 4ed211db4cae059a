# Figures of a branch, of a data set's two splits, and across branches.


rule draw_alpha_trajectories:
    input:
        table=rules.alpha_table.output.table,
        clusters=rules.cluster_table.output.table,
    output:
        pictures("alpha_trajectories"),
    log:
        drawing_log("alpha_trajectories"),
    benchmark:
        drawing_times("alpha_trajectories")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("statistic_trajectories.py", "power_law"),
        statistic="power_law",
        branches=branches_shown(),
    script:
        "../scripts/statistic_trajectories.py"


use rule draw_alpha_trajectories as draw_statistic_trajectories with:
    input:
        table=rules.statistic_table.output.table,
        clusters=rules.cluster_table.output.table,
    output:
        pictures("{statistic}_trajectories"),
    log:
        drawing_log("{statistic}_trajectories"),
    benchmark:
        drawing_times("{statistic}_trajectories")
    params:
        code=lambda wildcards: code(
            "statistic_trajectories.py", study.statistics[wildcards.statistic]
        ),
        statistic=lambda wildcards: study.statistics[wildcards.statistic],
        branches=branches_shown(),


rule draw_alpha_maps:
    input:
        table=rules.alpha_table.output.table,
        model=rules.model.output.description,
    output:
        pictures("alpha_maps"),
    log:
        drawing_log("alpha_maps"),
    benchmark:
        drawing_times("alpha_maps")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("statistic_maps.py", "power_law"),
        statistic="power_law",
        branches=branches_shown(),
    script:
        "../scripts/statistic_maps.py"


use rule draw_alpha_maps as draw_statistic_maps with:
    input:
        table=rules.statistic_table.output.table,
        model=rules.model.output.description,
    output:
        pictures("{statistic}_maps"),
    log:
        drawing_log("{statistic}_maps"),
    benchmark:
        drawing_times("{statistic}_maps")
    params:
        code=lambda wildcards: code(
            "statistic_maps.py", study.statistics[wildcards.statistic]
        ),
        statistic=lambda wildcards: study.statistics[wildcards.statistic],
        branches=branches_shown(),


rule draw_clusters_embedding:
    input:
        clusters=rules.cluster_table.output.table,
    output:
        pictures("clusters_embedding"),
    log:
        drawing_log("clusters_embedding"),
    benchmark:
        drawing_times("clusters_embedding")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("clusters_embedding.py"),
        branches=branches_shown(),
    script:
        "../scripts/clusters_embedding.py"


rule draw_clusters_map:
    input:
        clusters=rules.cluster_table.output.table,
        model=rules.model.output.description,
    output:
        pictures("clusters_map"),
    log:
        drawing_log("clusters_map"),
    benchmark:
        drawing_times("clusters_map")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("clusters_map.py"),
        branches=branches_shown(),
    script:
        "../scripts/clusters_map.py"


rule draw_correlation_matrices:
    input:
        stores=layers_of(rules.correlation_matrix.output.store),
        model=rules.model.output.description,
    output:
        pictures("correlation_matrices"),
    log:
        drawing_log("correlation_matrices"),
    benchmark:
        drawing_times("correlation_matrices")
    conda:
        "../../envs/environment.yaml"
    # Each layer has a matrix of token × token.
    resources:
        **ask("figures"),
    params:
        code=code("correlation_matrices.py"),
        branches=branches_shown(),
    script:
        "../scripts/correlation_matrices.py"


rule draw_eigenspectrum_fit:
    input:
        store=example_spectrum,
        model=rules.model.output.description,
    output:
        pictures("eigenspectrum_fit"),
    log:
        drawing_log("eigenspectrum_fit"),
    benchmark:
        drawing_times("eigenspectrum_fit")
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


rule draw_mean_correlation:
    input:
        tables=[rules.correlation_table.output.table],
    output:
        pictures("mean_correlation"),
    log:
        drawing_log("mean_correlation"),
    benchmark:
        drawing_times("mean_correlation")
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("mean_correlation.py"),
        labels=lambda wildcards: split_labels(wildcards)[-1:],
        every_label=split_labels,
        branches=branches_shown(),
    script:
        "../scripts/mean_correlation.py"


use rule draw_mean_correlation as draw_mean_correlation_of_all_branches with:
    input:
        tables=every_branch(rules.correlation_table.output.table),
    output:
        pictures("mean_correlation", STUDY),
    log:
        drawing_log("mean_correlation", "all/"),
    benchmark:
        drawing_times("mean_correlation", "all/")
    params:
        code=code("mean_correlation.py"),
        labels=[branch_label(branch) for branch in study.branches],
        every_label=[branch_label(branch) for branch in study.branches],
        branches=[study.counted(branch) for branch in study.branches],


rule draw_train_test:
    input:
        train=of_split(rules.alpha_table.output.table, "train"),
        test=of_split(rules.alpha_table.output.table, "test"),
    output:
        pictures("train_test", PAIR),
    log:
        drawing_log("train_test", PAIR),
    benchmark:
        drawing_times("train_test", PAIR)
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("train_test.py"),
        branches=branches_shown("train", "test"),
    script:
        "../scripts/train_test.py"


rule draw_alpha_summary_trajectories:
    input:
        train=of_split(rules.alpha_table.output.table, "train"),
        test=of_split(rules.alpha_table.output.table, "test"),
    output:
        pictures("alpha_summary_trajectories", PAIR),
    log:
        drawing_log("alpha_summary_trajectories", PAIR),
    benchmark:
        drawing_times("alpha_summary_trajectories", PAIR)
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("alpha_summary_trajectories.py"),
        branches=branches_shown("train", "test"),
    script:
        "../scripts/alpha_summary_trajectories.py"


rule figures:
    input:
        [path for figure in FIGURES for path in every(figure)],
