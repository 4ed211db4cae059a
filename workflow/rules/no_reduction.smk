# Where the configuration does not say how tokens are to be reduced.
def require_reduction(_wildcards):
    sys.exit(
        "error: reduction: the configuration has no such section; docs/reduction.md has one to begin with"
    )


rule reduction:
    input:
        require_reduction,
