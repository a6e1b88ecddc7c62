"""The few fields of the protobuf wire format that are read, against bytes put together by hand and by onnx."""

import onnx
import pytest
from onnx import TensorProto, helper

from darkroom.develop import onnxfile
from darkroom.develop.onnxfile import Port
from darkroom.errors import ModelError


def varint(number: int) -> bytes:
    """Seven bits a byte, the least first, as the protobuf guide says."""
    digits = [number >> shift & 127 for shift in range(0, max(1, number.bit_length()), 7)]
    return bytes([*(digit + 128 for digit in digits[:-1]), digits[-1]])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def fields(message: bytes) -> list[tuple[int, int | bytes]]:
    found = list(onnxfile._fields(memoryview(message)))
    return [(number, value if isinstance(value, int) else bytes(value)) for number, value in found]


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 16383, 16384, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_numbers_of_up_to_64_bits_are_read(number):
    message = b"\xff" + varint(number) + b"\x05"
    assert onnxfile._varint(memoryview(message), 1) == (number, len(message) - 1)


def test_a_number_of_more_than_ten_bytes_or_without_end_is_none():
    assert onnxfile._varint(memoryview(b"\x80" * 9 + b"\x01"), 0) == (2**63, 10)
    with pytest.raises(ValueError, match="beyond 64 bits"):
        onnxfile._varint(memoryview(b"\x80" * 10 + b"\x01"), 0)
    with pytest.raises(IndexError):
        onnxfile._varint(memoryview(b"\x80\x80"), 0)


def test_fields_of_every_wire_type_follow_each_other():
    message = field(1, 300) + b"\x11" + b"abcdefgh" + field(3, b"xyz") + b"\x25" + b"1234" + field(20, b"")
    assert fields(message) == [(1, 300), (2, b"abcdefgh"), (3, b"xyz"), (4, b"1234"), (20, b"")]
    assert fields(b"") == []


@pytest.mark.parametrize("message", [field(1, 300), b"\x11abcdefgh", field(3, b"xyz"), b"\x25" + b"1234"])
def test_a_field_that_is_cut_short_is_none(message):
    assert len(fields(message)) == 1
    for end in range(1, len(message)):
        with pytest.raises((ValueError, IndexError)):
            fields(message[:end])


@pytest.mark.parametrize("kind", [3, 4, 6, 7])
def test_other_wire_types_are_refused(kind):
    with pytest.raises(ValueError, match=f"wire type {kind}"):
        fields(bytes([8 | kind]) + bytes(8))


def test_the_one_field_of_a_number_is_one():
    once = list(onnxfile._fields(memoryview(field(1, b"a") + field(2, b"b"))))
    assert bytes(onnxfile._bytes(once, 2)) == b"b" and bytes(onnxfile._bytes(once, 3)) == b""
    with pytest.raises(ValueError, match="field 1 appears 2 times"):
        onnxfile._bytes([*once, *once], 1)
    with pytest.raises(ValueError, match="field 4 is a number"):
        onnxfile._bytes([(4, 7)], 4)


@pytest.mark.parametrize(
    ("port", "shown"),
    [
        (Port(1, (1, 4, "h", "w")), "(1, 4, h, w)"),
        (Port(1, ("", 3)), "(?, 3)"),
        (Port(11, (1, "h")), "(1, h) of type 11"),
        (Port(0, ()), "() of type 0"),
    ],
)
def test_a_port_is_shown_with_its_sides_and_its_type_unless_float(port, shown):
    assert str(port) == shown


def value(name: str, kind: int, shape: list | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def told(graph: onnx.GraphProto, **metadata: str) -> onnxfile.OnnxFile:
    network = helper.make_model(graph)
    for key, text in metadata.items():
        network.metadata_props.add(key=key, value=text)
    return onnxfile.parse(network.SerializeToString(), "n.onnx")


def test_names_types_and_shapes_of_ports_are_told():
    graph = helper.make_graph(
        [],
        "g",
        [value("bright", TensorProto.FLOAT, [1, 4, "h", None]), value("more", TensorProto.DOUBLE, [])],
        [value("rgb", TensorProto.FLOAT16, ["n", 300]), onnx.ValueInfoProto(name="bare")],
    )
    said = told(graph)
    assert said.inputs == {"bright": Port(1, (1, 4, "h", "")), "more": Port(11, ())}
    assert said.outputs == {"rgb": Port(10, ("n", 300)), "bare": Port(0, ())}


def test_what_is_no_tensor_has_no_type():
    sequence = helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, [2])
    assert told(helper.make_graph([], "g", [sequence], [])).inputs == {"many": Port(0, ())}


def test_a_side_or_type_given_twice_is_the_last():
    dimension = field(1, field(1, 5) + field(1, 6))
    tensor = field(1, 1) + field(1, 7) + field(2, dimension)
    port = field(1, b"x") + field(2, field(1, tensor))
    assert onnxfile._port(memoryview(port)) == ("x", Port(7, (6,)))


@pytest.mark.parametrize(
    ("dimension", "side"),
    [
        (field(1, 5) + field(4, 7), 5),
        (field(4, 7) + field(2, b"h"), "h"),
        (field(1, b"ab") + field(2, b"h"), "h"),
    ],
)
def test_a_side_is_a_number_of_its_own_field_or_a_name(dimension, side):
    port = field(1, b"x") + field(2, field(1, field(1, 1) + field(2, field(1, dimension))))
    assert onnxfile._port(memoryview(port)) == ("x", Port(1, (side,)))


def test_inputs_with_a_value_are_none():
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [1], [0.5])
    inputs = [value("bright", TensorProto.FLOAT, [1]), value("weights", TensorProto.FLOAT, [1])]
    assert list(told(helper.make_graph([], "g", inputs, [], [weights])).inputs) == ["bright"]


def test_metadata_are_told_by_key():
    assert told(helper.make_graph([], "g", [], []), darkroom="{}", note="Ü").metadata == {
        "darkroom": b"{}",
        "note": "Ü".encode(),
    }


def test_operators_are_told_with_strange_domains_subgraphs_and_functions():
    body = helper.make_graph([helper.make_node("Loop", [], [])], "b", [], [])
    nodes = [
        helper.make_node(
            "Relu", ["a"], ["b"], note="x", number=3, many=[1, 2], tensor=helper.make_tensor("t", 1, [], [0])
        ),
        helper.make_node("Add", [], [], domain="ai.onnx"),
        helper.make_node("Add", [], [], domain="ours"),
    ]
    assert told(helper.make_graph(nodes, "g", [], [])).operators == {"Relu", "Add", "ours:Add"}
    for attribute in ({"body": body}, {"bodies": [body]}):
        node = helper.make_node("Relu", [], [], **attribute)
        assert told(helper.make_graph([node], "g", [], [])).operators == {"Relu", "a subgraph"}
    function = helper.make_function("ours", "f", [], [], [], [])
    network = helper.make_model(helper.make_graph([], "g", [], []), functions=[function])
    assert onnxfile.parse(network.SerializeToString(), "n.onnx").operators == {"a function"}


def test_a_file_of_nothing_says_nothing():
    assert onnxfile.parse(b"", "n.onnx") == onnxfile.OnnxFile({}, {}, {}, frozenset())


@pytest.mark.parametrize(
    "message",
    [
        field(14, field(1, b"\xff") + field(2, b"x")),
        field(14, field(1, b"x") + field(2, b"\xff")),
        field(7, field(1, field(4, b"\xff"))),
        field(7, field(11, field(1, b"\xff"))),
    ],
)
def test_names_and_metadata_that_are_no_text_are_refused(message):
    with pytest.raises(ModelError, match="^n.onnx: holds names or metadata that are no UTF-8; export it again$"):
        onnxfile.parse(message, "n.onnx")


@pytest.mark.parametrize(
    "message", [field(7, 1), field(14, 1), field(7, b"") * 2, field(7, field(1, 1)), b"\x3a\x02\x08"]
)
def test_what_is_no_model_is_refused(message):
    with pytest.raises(ModelError, match="^n.onnx: is not an ONNX network; export it with `darkroom train`$"):
        onnxfile.parse(message, "n.onnx")


def test_a_type_is_read_from_its_own_field():
    """Of a tensor's fields the first is the type; one that this reader does not know is passed over."""
    tensor = b"\x08\x01" + b"\x18\x07"  # field 1: float; field 3, a number, too
    held = b"\x0a" + bytes([len(tensor)]) + tensor
    value = b"\x0a\x01x" + b"\x12" + bytes([len(held)]) + held
    assert onnxfile._port(memoryview(value)) == ("x", Port(1, ()))
