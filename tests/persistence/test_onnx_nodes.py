"""Nodes, constants and fields that `export_onnx` never writes."""

import re

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from sk_ssimae import SSIMAutoencoderSegmenter, VariationalAutoencoderSegmenter


def weights(change):
    def apply(model):
        first = model.graph.initializer[0]
        array = change(numpy_helper.to_array(first).copy())
        first.CopyFrom(numpy_helper.from_array(array, first.name))

    return apply


def attribute(name, value):
    def apply(model):
        node = model.graph.node[0]
        kept = [one for one in node.attribute if one.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return apply


def set_field(path, value):
    """Return a change of one field of a model, or an item added to a list."""

    def apply(model):
        *parents, name = path.split(".")
        for parent in parents:
            model = model[int(parent)] if parent.isdigit() else getattr(model, parent)
        field = getattr(model, name)
        if isinstance(value, str | int | bytes):
            setattr(model, name, value)
        elif hasattr(field, "append"):
            field.append(value)
        else:
            field.CopyFrom(value)

    return apply


def node(operator, inputs, outputs=("x",), *, a=None, **attributes):
    """Return a change that appends a node, and a constant `a` for it."""

    def apply(model):
        model.graph.node.append(helper.make_node(operator, inputs, outputs, **attributes))
        if a is not None:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(a), "a"))

    return apply


BRANCH = helper.make_graph([], "branch", [], [])
NEVER_WRITTEN = [
    (weights(lambda array: array / 0), "it contains weights that are NaN or infinite, in constant"),
    (weights(lambda array: array * np.nan), "it contains weights that are NaN or infinite"),
    (weights(np.float64), "its constant constant_0 has a type or shape that export_onnx never"),
    (weights(lambda array: array[:0]), "its constant constant_0 has a type or shape"),
    (weights(lambda array: array.T), "its graph contains a node Conv that does not fit inputs of"),
    (weights(lambda array: array.reshape(1, 1, 1, 1, 1, 1, 1, 1, -1)), "at most 8 axes of a const"),
    (attribute("group", 1), "its Conv has an attribute that export_onnx never writes: group"),
    (attribute("strides", [0, 1]), "its graph contains a node Conv that does not fit inputs"),
    (attribute("strides", [-1, 1]), r"its Conv must have strides in \[0, 2\*\*31\), got"),
    (attribute("strides", [2**40, 1]), r"its Conv must have strides in \[0, 2\*\*31\), got"),
    (attribute("strides", [1] * 9), "at most 8 numbers of an attribute, got 9 instead"),
    (attribute("strides", 1.0), "its Conv has an attribute that export_onnx never writes: strides"),
    (attribute("pads", [2**30] * 4), "its graph contains a node Conv that does not fit inputs"),
    (attribute("strides", BRANCH), "its attribute has fields that export_onnx never writes"),
    (set_field("graph.node.0.op_type", "Loop"), "got 'Loop' of the domain ''"),
    (set_field("graph.node.0.op_type", "x" * 10**6), "its nodes must have at most 4096 bytes each"),
    (set_field("graph.node.0.overload", "x"), "its node has fields that export_onnx never writes"),
    (set_field("graph.initializer.0.name", "../x"), "its graph has a name that export_onnx never"),
    (set_field("graph.initializer.1.name", "constant_0"), "its graph has two constants"),
    (set_field("graph.initializer.1.name", "patches"), "a constant of the name of an input"),
    (set_field("graph.initializer.0.raw_data", b"abc"), "its constant constant_0 must have"),
    (set_field("graph.initializer.0.doc_string", "x"), "its constant has fields that export_onnx"),
    (set_field("graph.doc_string", "x"), "its graph has fields that export_onnx never writes"),
    (set_field("graph.value_info", helper.make_empty_tensor_value_info("x")), "its graph has"),
    (set_field("graph.output", helper.make_empty_tensor_value_info("x")), "has other inputs"),
    (set_field("domain", "x"), "its model has fields that export_onnx never writes"),
    (set_field("training_info", onnx.TrainingInfoProto()), "its model has fields that export_onnx"),
    (set_field("opset_import", helper.make_opsetid("com.example", 1)), "its operators must be of"),
    (set_field("opset_import.0.version", 14), "its operators must be of ONNX 15, got"),
    (node("Identity", ["patches"], ["Conv_0"]), "its graph computes 'Conv_0' twice"),
    (node("Identity", ["patches"], []), "a node Identity that does not fit"),
    (node("Identity", []), "a node Identity that does not fit"),
    (node("Identity", [""]), "its graph has a name that export_onnx never"),
    (node("Add", ["patches", "a"], a=np.zeros(3, np.float32)), "a node Add that does not fit"),
    (node("Reshape", ["patches", "a"], a=[-1, 7]), "a node Reshape that does not fit"),
    (node("Clip", ["patches", "patches"]), "a node Clip that does not fit"),
    (node("Split", ["patches", "patches"], axis=1), "a node Split that does not fit"),
    (node("Unsqueeze", ["patches", "patches"]), "a node Unsqueeze that does not fit"),
    (node("Gemm", ["patches"] * 3), "a node Gemm that does not fit"),
    (node("Flatten", ["patches"] * 2), "a node Flatten that does not fit"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), NEVER_WRITTEN)
@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_models_that_are_never_written(exports, change_export, refusal, change, message):
    found = refusal(change_export(exports[SSIMAutoencoderSegmenter], change))
    assert re.search(message, found), found


def test_results_that_are_missing_or_of_another_shape(exports, change_export, refusal):
    def shorten(model):
        model.graph.node[-1].input[0] = model.graph.node[0].output[0]

    found = refusal(change_export(exports[SSIMAutoencoderSegmenter], shorten))
    assert "its settings describe a network that computes reconstructions of shape" in found


def test_types_that_do_not_fit_are_left_to_onnx_runtime(exports, change_export, refusal):
    def to_integers(model):
        scalar = next(one for one in model.graph.initializer if not one.dims)
        scalar.CopyFrom(numpy_helper.from_array(np.int64(1), scalar.name))

    found = refusal(change_export(exports[VariationalAutoencoderSegmenter], to_integers))
    assert "ONNX Runtime refuses it (" in found
