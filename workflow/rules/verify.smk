# On request only: `snakemake verify`.
from tokengeometry.operations.studies import within


rule verify:
    log:
        "<results>/logs/verify.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        folder=study.folder,
        others=lambda wildcards: within(study.folder),
    script:
        "../scripts/verify.py"
