"""The bytes of an ONNX file -> what it says of itself, without an engine.

An engine parses, optimises and allocates before it tells anything. Here a few fields are read from the protobuf wire
format (onnx.proto3), so that an untrusted file is checked, the same way for every engine, before one sees it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from darkroom.errors import ModelError

FLOAT = 1
"""TensorProto.DataType of float32."""


@dataclass(frozen=True)
class Port:
    """An input or output of a network."""

    kind: int
    """TensorProto.DataType; 0 where it is no tensor."""
    shape: tuple[int | str, ...]
    """Sides: a number, or the name of what may vary ("" where it has none)."""

    def __str__(self) -> str:
        sides = ", ".join(str(side) or "?" for side in self.shape)
        return f"({sides})" if self.kind == FLOAT else f"({sides}) of type {self.kind}"


@dataclass(frozen=True)
class OnnxFile:
    """What a file says of itself."""

    metadata: dict[str, bytes]
    inputs: dict[str, Port]
    """Without those that have a value already."""
    outputs: dict[str, Port]
    operators: frozenset[str]
    """Names of the operators, with "domain:" before those that are not ONNX's own; "a subgraph" and "a function" where
    there is one."""


def parse(data: bytes, file: str) -> OnnxFile:
    """Read an ONNX file's metadata, inputs and outputs; raises ModelError, naming `file`, for what is not one."""
    try:
        model = list(_fields(memoryview(data)))
        graph = list(_fields(_bytes(model, 7)))
        entries = [list(_fields(entry)) for entry in _all(model, 14)]
        given = {bytes(_bytes(list(_fields(tensor)), 8)) for tensor in _all(graph, 5)}
        ports = [dict(_port(value) for value in _all(graph, field)) for field in (11, 12)]
        return OnnxFile(
            metadata={str(_bytes(entry, 1), "utf-8"): _text(_bytes(entry, 2)) for entry in entries},
            inputs={name: port for name, port in ports[0].items() if name.encode() not in given},
            outputs=ports[1],
            operators=frozenset().union(*map(_operators, _all(graph, 1)), {"a function" for _ in _all(model, 25)}),
        )
    except UnicodeDecodeError:
        raise ModelError(f"{file}: holds names or metadata that are no UTF-8; export it again") from None
    except (ValueError, IndexError):
        raise ModelError(f"{file}: is not an ONNX network; export it with `darkroom train`") from None


Value = int | memoryview


def _text(value: memoryview) -> bytes:
    """UTF-8 bytes, checked to be that."""
    return str(value, "utf-8").encode()


def _operators(value: memoryview) -> set[str]:
    """NodeProto -> its operator, and "a subgraph" where an attribute holds one; nothing is descended into."""
    node = list(_fields(value))
    domain, name = str(_bytes(node, 7), "utf-8"), str(_bytes(node, 4), "utf-8")
    found = {name if domain in ("", "ai.onnx") else f"{domain}:{name}"}
    for attribute in _all(node, 5):
        if any(number in (6, 11) for number, _ in _fields(attribute)):  # AttributeProto.g and .graphs
            found.add("a subgraph")
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a protobuf message: number, and integer or bytes. Raises ValueError or IndexError for none such."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value: Value
        match key & 7:
            case 0:
                value, at = _varint(message, at)
            case 1:
                value, at = message[at : at + 8], at + 8
            case 2:
                length, at = _varint(message, at)
                value, at = message[at : at + length], at + length
            case 5:
                value, at = message[at : at + 4], at + 4
            case kind:
                raise ValueError(f"wire type {kind}")
        if at > len(message):
            raise ValueError("cut short")
        yield key >> 3, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of up to 64 bits, seven a byte, the least first; and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("a number beyond 64 bits")


def _all(fields: list[tuple[int, Value]], wanted: int) -> Iterator[memoryview]:
    for number, value in fields:
        if number == wanted:
            if isinstance(value, int):
                raise ValueError(f"field {number} is a number")
            yield value


def _bytes(fields: list[tuple[int, Value]], wanted: int) -> memoryview:
    """The one field of this number, empty where there is none.

    Parsers join messages that are given twice: what this reads would not be what the engine gets.
    """
    found = list(_all(fields, wanted))
    if len(found) > 1:
        raise ValueError(f"field {wanted} appears {len(found)} times")
    return found[0] if found else memoryview(b"")


def _port(value: memoryview) -> tuple[str, Port]:
    """ValueInfoProto -> name, element type and shape."""
    said = list(_fields(value))
    tensor = list(_fields(_bytes(list(_fields(_bytes(said, 2))), 1)))
    kinds = [kind for number, kind in tensor if number == 1 and isinstance(kind, int)]
    sides: list[int | str] = []
    for dimension in _all(list(_fields(_bytes(tensor, 2))), 1):
        told = list(_fields(dimension))
        fixed = [size for number, size in told if number == 1 and isinstance(size, int)]
        sides.append(fixed[-1] if fixed else str(_bytes(told, 2), "utf-8"))
    return str(_bytes(said, 1), "utf-8"), Port(kinds[-1] if kinds else 0, tuple(sides))
