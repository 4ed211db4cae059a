"""How much work each rule's job is: its memory, its disk, its floating-point operations.

The formulae are those of `tokengeometry.operations.cost`; here each rule's job is measured by them. All three
functions take

rule : str
    Its name; "direct" for all of direct mode.
study : tokengeometry.study.Study
model : dict
    The content of the model's `model.json`; not looked at for rules over all models, and empty before it is known.
job : mapping
    The wildcards: model, dataset, split, layer and part, as far as the rule has them. Of direct mode's jobs the one
    for the first part, which makes the concatenated spectra too, has no part.
"""

import math

from tokengeometry.operations import cost


def samples_of(study, job):
    """Samples of a job's part, or of the first."""
    start, stop = study.parts(job["dataset"], job["split"])[int(job.get("part", 0))]
    return stop - start


def made_directly(study, job):
    """The rules whose stores a job of direct mode makes, of a layer."""
    if "part" in job:
        return ("moments",)
    return ("moments", "concatenated", "noise") if _measured(study, job) else ("moments", "concatenated")


def _direct(study, model, job):
    """What `tokengeometry.operations.cost` asks of a job of direct mode."""
    batch_size, layers = study.config["compute"]["batch_size"], study.layers(job["model"])
    joint = _concatenated(study, job) if "concatenated" in made_directly(study, job) else 0
    measured = _measured(study, job) if joint else 0
    return model, layers, batch_size, samples_of(study, job), joint, measured


def _on_cpu(study, gpu):
    return not gpu and study.config["compute"]["device"] != "mps"


def _shape(model, job):
    return cost.layer_shape(model, int(job["layer"]))


def _largest(study, model, name):
    """Number of layers that are analysed, and the most tokens and features that any of them has."""
    layers = study.layers(name)
    tokens, features = zip(*(cost.layer_shape(model, layer) for layer in layers), strict=True)
    return len(layers), max(tokens), max(features)


def memory(rule, study, model, job, threads=1, gpu=False):
    """Peak bytes of a job that has so many threads, and a GPU or none."""
    batch_size = study.config["compute"]["batch_size"]
    match rule:
        case "model":
            # The weights as read, in timm's form, and as written; a request knows nothing of them yet.
            return cost.PROCESS_BYTES + 3 * 4 * model.get("parameters", 0)
        case "dataset":
            return cost.PROCESS_BYTES
        case "pixels":
            values = model["in_chans"] * math.prod(model["image_size"])
            return cost.pixels_memory(min(batch_size, samples_of(study, job)), values, threads)
        case "layer":
            at_work, shape = min(batch_size, samples_of(study, job)), _shape(model, job)
            if _on_cpu(study, gpu):
                at_work = cost.samples_at_work(at_work, threads, *shape)
            return cost.layer_memory(at_work, *shape)
        case "noise":
            measured, shape = _measured(study, job), _shape(model, job)
            at_work = min(batch_size, measured)
            if _on_cpu(study, gpu):
                at_work = cost.samples_at_work(at_work, threads, *shape)
            return cost.noise_memory(measured, at_work, *shape)
        case "moments":
            return cost.moments_memory(samples_of(study, job), *_shape(model, job))
        case "direct":
            return cost.direct_memory(*_direct(study, model, job), threads, _on_cpu(study, gpu))
        case "concatenated":
            dtype = study.config["activations"]["dtype"]
            return cost.concatenated_memory(
                _concatenated(study, job), *_shape(model, job), dtype, threads, _measured(study, job)
            )
        case "spectra":
            return cost.spectra_memory(*_shape(model, job), threads, _measured(study, job))
        case "correlation_matrix":
            return cost.correlation_memory(*_shape(model, job))
        case "cluster_table":
            return cost.CLUSTERS_BYTES
        case _ if "model" in job:
            return cost.figure_memory(*_largest(study, model, job["model"]))
        case _:
            return cost.LIGHT_PROCESS_BYTES


def flops(rule, study, model, job):
    """Operations of a job; 0 where they take no time to speak of."""
    match rule:
        case "layer" | "noise":
            layer = int(job["layer"])
            samples = samples_of(study, job) if rule == "layer" else _measured(study, job)
            return cost.chain_flops(model, samples, layer) - cost.chain_flops(model, samples, layer - 1)
        case "direct":
            model, layers, _, samples, joint, measured = its = _direct(study, model, job)
            _, group = cost.direct_size(cost.direct_memory(*its), *its)
            forward = cost.chain_flops(model, samples, max(layers))
            shapes = [cost.layer_shape(model, layer) for layer in layers]
            forward += cost.chain_flops(model, measured, max(layers))
            return -(-len(layers) // group) * forward + cost.sums_flops(samples, joint, shapes)
        case "moments":
            return cost.moments_flops(samples_of(study, job), *_shape(model, job))
        case "concatenated":
            return cost.concatenated_flops(_concatenated(study, job), *_shape(model, job))
        case "spectra":
            return cost.spectra_flops(*_shape(model, job))
        case "correlation_matrix":
            return cost.correlation_flops(*_shape(model, job))
        case _:
            return 0


def disk(rule, study, model, job):
    """Bytes of the stores that a job makes, or of the weights."""
    match rule:
        case "pixels" | "layer":
            shape = _shape(model, {"layer": "00", **job})
            return cost.activation_disk(samples_of(study, job), *shape, study.config["activations"]["dtype"])
        case "direct":
            layers = [job | {"layer": layer} for layer in study.layers(job["model"])]
            return sum(disk(rule, study, model, its) for its in layers for rule in made_directly(study, its))
        case "noise":
            # In direct mode, without the layer in float32 from which the next one would follow.
            arrays = 2 if study.config["activations"]["store"] else 1
            return cost.noise_disk(_measured(study, job), *_shape(model, job), arrays)
        case "moments":
            return cost.moment_disk(samples_of(study, job), *_shape(model, job))
        case "concatenated":
            return cost.concatenated_disk(_concatenated(study, job), *_shape(model, job))
        case "spectra":
            return cost.spectra_disk(_concatenated(study, job), *_shape(model, job))
        case "correlation_matrix":
            return cost.correlation_disk(_shape(model, job)[0])
        case "model":
            return 4 * model.get("parameters", 0)
        case _:
            return 0


def _concatenated(study, job):
    return study.concatenated(job["dataset"], job["split"])[0]


def _measured(study, job):
    """Samples that measure the noise of the job's layer, or of all layers."""
    return study.measured(job["dataset"], job["split"]) if int(job.get("layer", 1)) else 0
