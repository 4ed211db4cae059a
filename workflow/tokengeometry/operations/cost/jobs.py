"""What a job of a rule costs: its sizes, as a study has them, in the rule's formula."""

from tokengeometry.operations.cost.direct import direct
from tokengeometry.operations.cost.forward import link, noise, pixels
from tokengeometry.operations.cost.reductions import reduction
from tokengeometry.operations.cost.sizes import CLUSTERS_BYTES, PROCESS_BYTES, Cost, layer_shape
from tokengeometry.operations.cost.sums import (
    concatenated,
    correlation_matrix,
    merged_moments,
    moments,
    spectra,
    uncertainty,
)
from tokengeometry.operations.cost.tables import claimed, claims, errors, explored, matrices, norms, splits


def of_job(rule, study, model, job, threads=1, gpu=False):
    """The cost of a rule's job.

    Parameters
    ----------
    rule : str
        Its name; "direct" for all of direct mode. A rule that has no formula costs nothing to speak of.
    study : tokengeometry.study.Study
    model : dict
        What `tokengeometry.model.token_chain.describe` says of the job's model; not looked at for a rule without.
    job : mapping
        The wildcards: model, dataset, split, layer and part, as far as the rule has them. Of direct mode's jobs the
        one for the first part, which makes the concatenated spectra too, has no part.
    threads : int
        Those that it gets.
    gpu : bool
        Whether it has a GPU.

    Returns
    -------
    Cost
    """
    match rule:
        case "model":
            # The weights as read, in timm's form, and as written.
            weights = 4 * model["parameters"]
            return Cost(PROCESS_BYTES + 3 * weights, (weights,))
        case "dataset":
            return Cost(PROCESS_BYTES)
        case "cluster_table":
            return Cost(CLUSTERS_BYTES)
        case "claims_table":
            return claims(model, *claimed(study, job, job["split"]))
        case "claims_of_splits":
            return splits(model, *(claimed(study, job, split) for split in ("train", "test")))
        case "correlation_table" | "figures" if "split" in job:
            return matrices(len(study.layers(job["model"])), layer_shape(model, 1)[0])
        case "statistic_table":
            samples = study.samples(job["dataset"], job["split"]) if study.of_moments(job["statistic"]) else 0
            return norms(samples, layer_shape(model, 1)[0])
        case "explorer_page":
            return explored(study, model, job)
        case "alpha_table" | "alpha_means_table":
            return errors(study.fold_samples(job["dataset"], job["split"]), *layer_shape(model, 1))
        case _ if rule.startswith("reduction_"):
            return reduction(rule, model, study, job, gpu)
        case _ if "layer" not in job and rule not in ("pixels", "direct"):
            return Cost()
    split = job["dataset"], job["split"]
    samples, joint, measured = samples_of(study, job), study.concatenated(*split), study.measured(*split)
    folded = study.fold_samples(*split), study.folds
    compute, activations = study.config["compute"], study.config["activations"]
    layer = int(job.get("layer", 0))
    shape, dtype = layer_shape(model, layer), activations["dtype"]
    at_work = compute["batch_size"], threads, not gpu and compute["device"] != "mps"
    measured_here = measured if layer else 0
    match rule:
        case "pixels":
            return pixels(model, samples, compute["batch_size"], dtype, threads)
        case "layer":
            return link(model, layer, samples, dtype, *at_work)
        case "noise":
            return noise(model, layer, measured, *at_work)
        case "direct":
            besides = (0, 0) if "part" in job else (joint, measured)
            folded = (0, 0) if "part" in job else folded
            return direct(
                model, study.layers(job["model"]), compute["batch_size"], samples, *besides, *at_work[1:], *folded
            )
        case "moments":
            return moments(samples, *shape)
        case "merged_moments":
            return merged_moments((int(job["last"]) - int(job["first"]) + 1) * study.config["samples_per_part"], *shape)
        case "concatenated":
            return concatenated(joint, *shape, dtype, threads, measured_here, study.folds)
        case "uncertainty":
            return uncertainty(*folded, *shape, threads)
        case "spectra":
            return spectra(study.samples(*split), joint, *shape, threads, measured_here, not gpu)
        case "correlation_matrix":
            return correlation_matrix(*shape)


def samples_of(study, job):
    """Samples of a job's part, or of the first."""
    start, stop = study.parts(job["dataset"], job["split"])[int(job.get("part", 0))]
    return stop - start
