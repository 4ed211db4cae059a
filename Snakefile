# Token geometry of vision transformers: from images and weights to eigenspectra, correlations, clusters.
from snakemake.utils import min_version

min_version("9.27")


# A study named with --configfile is the whole study; Snakemake would merge it into this one.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/machinery/resources.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/fetch.smk"


if config["activations"]["store"]:

    include: "workflow/rules/layers.smk"
    include: "workflow/rules/moments.smk"

else:

    include: "workflow/rules/direct.smk"


include: "workflow/rules/merged.smk"
include: "workflow/rules/spectra.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/drawing.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/exploring.smk"
include: "workflow/rules/explorer.smk"


if "reduction" in config:

    include: "workflow/rules/reducing.smk"
    include: "workflow/rules/reduction.smk"

else:

    include: "workflow/rules/no_reduction.smk"


include: "workflow/rules/machinery/graph.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/verify.smk"
include: "workflow/rules/free.smk"


# A workflow that takes this one in as a module begins and ends its runs itself.
if not IMPORTED:

    include: "workflow/rules/machinery/locks.smk"
    include: "workflow/rules/machinery/cluster.smk"
    include: "workflow/rules/machinery/ends.smk"
    include: "workflow/rules/machinery/progress.smk"


rule activations:
    input:
        kept_activations,


rule all:
    default_target: True
    input:
        rules.alpha.input,
        rules.statistics.input,
        rules.correlations.input,
        rules.clusters.input,
        rules.claims.input,
        rules.summaries.input,
        rules.figures.input,
        rules.explorer.input,
        kept_stores,


onstart:
    begin()
    claim_locks()
    require_cluster()


onsuccess:
    print_summary()


onerror:
    note_failures()
