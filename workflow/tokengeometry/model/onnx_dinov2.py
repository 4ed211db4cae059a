"""timm's state dict of a DINOv2 from an ONNX graph exported from Hugging Face's implementation.

Convolution, norms, biases and layer scales keep their Hugging Face names in such a graph. The matrices do
not: the exporter transposes them and calls them `onnx::MatMul_1966`. They are found by what the graph
does with them, the named bias being added to their product, and never by that number.
"""

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from tokengeometry.errors import StudyError

CLASS_TOKEN = "embeddings.cls_token"
PATCH_PROJECTION = "embeddings.patch_embeddings.projection"
# timm's name to Hugging Face's, inside a block; the tensors are the same.
NORMS_AND_SCALES = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "ls1.gamma": "layer_scale1.lambda1",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "ls2.gamma": "layer_scale2.lambda1",
}
LINEARS = {"attn.proj": "attention.output.dense", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
QKV = tuple(f"attention.attention.{name}" for name in ("query", "key", "value"))


def state_dict(path):
    """Read timm's state dict out of an ONNX graph that contains a DINOv2 backbone.

    Parameters
    ----------
    path : path
        The ONNX file. What follows the backbone in the graph (a decoder, a classifier) is not read.

    Returns
    -------
    dict of str to torch.Tensor
        float32; the names and shapes of timm's `vit_*_patch14_dinov2` at the size of the stored position
        embedding (`pos_embed`: (1, 1 + patches, feature), the class token's position first).

    Raises
    ------
    StudyError
        If the file is no ONNX graph, a tensor of the backbone is not in it, or the backbone has one that
        DINOv2 has not.
    """
    try:
        graph = _Graph(onnx.load(path, load_external_data=False).graph)
    except (DecodeError, OSError) as error:
        raise StudyError(f"{path} is not a readable ONNX graph: {error}") from error
    prefix = graph.backbone_prefix()
    state = {
        "cls_token": graph.take(prefix + CLASS_TOKEN),
        "pos_embed": graph.position_embedding(prefix + CLASS_TOKEN),
        "patch_embed.proj.weight": graph.take(f"{prefix}{PATCH_PROJECTION}.weight"),
        "patch_embed.proj.bias": graph.take(f"{prefix}{PATCH_PROJECTION}.bias"),
        "norm.weight": graph.take(f"{prefix}layernorm.weight"),
        "norm.bias": graph.take(f"{prefix}layernorm.bias"),
    }
    for index in range(graph.depth(prefix)):
        block, layer = f"blocks.{index}.", f"{prefix}encoder.layer.{index}."
        for name, exported in NORMS_AND_SCALES.items():
            state[block + name] = graph.take(layer + exported)
        for name, exported in LINEARS.items():
            state[f"{block}{name}.weight"] = graph.matrix(f"{layer}{exported}.bias")
            state[f"{block}{name}.bias"] = graph.take(f"{layer}{exported}.bias")
        state[f"{block}attn.qkv.weight"] = torch.cat([graph.matrix(f"{layer}{name}.bias") for name in QKV])
        state[f"{block}attn.qkv.bias"] = torch.cat([graph.take(f"{layer}{name}.bias") for name in QKV])
    graph.check_all_taken(prefix)
    return state


class _Graph:
    """An ONNX graph, asked for tensors by name or by what is done with them."""

    def __init__(self, graph):
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._maker = {output: node for node in graph.node for output in node.output}
        self._users = {}
        for node in graph.node:
            for value in node.input:
                self._users.setdefault(value, []).append(node)
        self._taken = set()

    def backbone_prefix(self):
        """What stands before the backbone's names: `backbone.`, `dinov2.`, or nothing."""
        found = [name for name in self._tensors if name.endswith(CLASS_TOKEN)]
        if len(found) != 1:
            raise StudyError(f"the ONNX graph has {len(found)} tensors named '…{CLASS_TOKEN}', not one")
        return found[0].removesuffix(CLASS_TOKEN)

    def depth(self, prefix):
        """Number of blocks, from the names."""
        start = f"{prefix}encoder.layer."
        indices = {name[len(start) :].split(".")[0] for name in self._tensors if name.startswith(start)}
        if not indices:
            raise StudyError(f"the ONNX graph lacks {start}0")
        return 1 + max(map(int, indices))

    def take(self, name):
        """A tensor by its name, float32."""
        if name not in self._tensors:
            raise StudyError(f"the ONNX graph lacks {name}")
        self._taken.add(name)
        tensor = self._tensors[name]
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise StudyError(f"the ONNX graph keeps {name} in another file; it must be in the graph's own")
        return torch.from_numpy(numpy_helper.to_array(tensor).copy()).float()

    def matrix(self, bias):
        """The matrix (output feature, input feature) of the linear map with this bias: bias + x · matrixᵀ."""
        for added in self._users.get(bias, []):
            for value in added.input:
                product = self._maker.get(value)
                if added.op_type == "Add" and product is not None and product.op_type == "MatMul":
                    return self.take(product.input[1]).T.contiguous()
        raise StudyError(f"the ONNX graph has no MatMul whose product {bias} is added to")

    def position_embedding(self, class_token):
        """The stored position embedding (1, 1 + patches, feature).

        The class token is joined to the patches, and the sum that follows adds another such pair: the
        class token's position and the positions of the patches, which the graph resizes on the way.
        """
        tokens = self._follow(class_token, "Concat")
        summed = self._follow(tokens.output[0], "Add")
        positions = self._maker.get(next(value for value in summed.input if value != tokens.output[0]))
        if positions is None or positions.op_type != "Concat" or len(positions.input) != 2:
            raise StudyError("the ONNX graph does not join the positions of class token and patches")
        return torch.cat([self.take(self._stored(value)) for value in positions.input], dim=1)

    def _follow(self, value, op_type):
        """The first node of this kind on the way of a tensor through nodes that only change its shape."""
        while True:
            users = self._users.get(value, [])
            found = [node for node in users if node.op_type == op_type]
            if found:
                return found[0]
            onwards = [node for node in users if node.op_type in ("Cast", "Expand", "Reshape", "Tile")]
            if len(onwards) != 1:
                raise StudyError(f"the ONNX graph has no {op_type} after {value}")
            value = onwards[0].output[0]

    def _stored(self, value):
        """The stored tensor that a value is a resized or rearranged version of."""
        origin = value
        while origin not in self._tensors:
            maker = self._maker.get(origin)
            if maker is None or maker.op_type not in ("Cast", "Reshape", "Resize", "Slice", "Transpose"):
                raise StudyError(f"the ONNX graph has no stored tensor behind {value}")
            origin = maker.input[0]
        return origin

    def check_all_taken(self, prefix):
        """Raise if the backbone has tensors that the conversion has no place for."""
        left = [name for name in self._tensors if name.startswith(prefix) and name not in self._taken]
        if prefix and left:
            raise StudyError(f"the ONNX graph's backbone has {left[0]}, which DINOv2 has not")
