# On request only: `snakemake free`.
localrules:
    free,


rule free:
    log:
        "<results>/logs/free.log",
    conda:
        "../../envs/environment.yaml"
    script:
        "../scripts/free.py"
