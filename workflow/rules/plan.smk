# What the study costs, printed before anything runs.
rule plan:
    log:
        "<results>/logs/plan.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    params:
        text=lambda wildcards: plan_text(),
    script:
        "../scripts/plan.py"
