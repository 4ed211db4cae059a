# On request only: `snakemake verify`.
localrules:
    verify,


rule verify:
    log:
        "<results>/logs/verify.log",
    conda:
        "../../envs/environment.yaml"
    script:
        "../scripts/verify.py"
