"""What a network promises, and what is refused."""

import json
from dataclasses import asdict
from math import inf

import pytest
from made import EVERY, arranged, contract_for

from darkroom.develop import contract
from darkroom.errors import ModelError
from darkroom.frame import CELL


def changed(**changes) -> str:
    return json.dumps(asdict(contract_for("bayer")) | changes)


def test_a_contract_survives_being_written():
    ours = contract_for("xtrans")
    assert contract.from_json(ours.to_json(), "n.onnx") == ours
    assert ours.cfa == "xtrans"


@pytest.mark.parametrize(("kind", "layout"), EVERY)
def test_every_layout_can_be_promised(kind, layout):
    ours = arranged(kind, layout)
    assert contract.from_json(ours.to_json(), "n.onnx") == ours
    assert ours.cfa == ("" if layout == "srgb" else kind)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        (changed(colour="yes"), "colour are missing or unknown"),
        (changed(packing="foveon3"), "packing 'foveon3', this darkroom knows bayer4 or xtrans9 or bayer3 or"),
        (changed(output="lab"), "output 'lab'"),
        (changed(halo="wide"), "halo 'wide'"),
        (changed(scale=True), "scale True"),
        (changed(multiple=0), "not positive"),
        (changed(halo=5), "halo 5 is no multiple of 4"),
        (changed(packing="bayer3", multiple=1), "multiple 1 is no whole CFA cell, bayer3 wants multiples of 2"),
        (changed(packing="xtrans9", multiple=1), "multiple 1 is no whole CFA cell, xtrans9 wants multiples of 2"),
        (changed(packing="srgb3"), "packing srgb3 with input balanced and output camera contradict each other"),
        (changed(packing="srgb3", input="srgb"), "packing srgb3 with input srgb and output camera contradict"),
        (changed(input="srgb", output="srgb"), "packing bayer4 with input srgb and output srgb contradict"),
    ],
)
def test_what_this_version_does_not_know_is_refused_by_name(text, complaint):
    with pytest.raises(ModelError, match=f"^n.onnx: .*{complaint}") as refusal:
        contract.from_json(text, "n.onnx")
    assert "\n" not in str(refusal.value)


def test_a_missing_field_is_named():
    entries = asdict(contract_for("bayer"))
    del entries["halo"]
    with pytest.raises(ModelError, match="fields halo are missing"):
        contract.from_json(json.dumps(entries), "n.onnx")


@pytest.mark.parametrize("packing", contract.PLANES)
def test_a_packing_is_told_by_its_sides_and_its_cell(packing):
    kind = "".join(letter for letter in packing if letter.isalpha())
    planes = int(packing.removeprefix(kind))
    cell = {"bayer": 2, "xtrans": 6}.get(kind, 1)
    side = 1 if planes == 3 else round(planes**0.5)
    assert contract.PLANES[packing] == planes and contract.PIXEL[packing] == side
    assert contract.WHOLE[packing] == cell // side
    assert contract.KIND[packing] == (kind if kind in CELL else "")


def test_light_is_kept_as_each_kind_of_input_says():
    assert contract.LIMITS["headroom"] == (-inf, 4) and contract.LIMITS["sensor"] == (0, 1)
    assert contract.LIMITS["balanced"] == contract.LIMITS["srgb"] == (-inf, 1)


@pytest.mark.parametrize(
    ("field", "least", "below"),
    [("multiple", 1, 0), ("pixel_bytes", 1, 0), ("max_ratio", 1e-3, 0), ("halo", 0, -4), ("scale", 2, 0)],
)
def test_sizes_are_as_small_as_has_sense(field, least, below):
    assert getattr(contract.from_json(changed(**{field: least}), "n.onnx"), field) == least
    for wrong in (below, below - 4):
        with pytest.raises(ModelError, match="^n.onnx: contract holds a size that is not positive; export it again$"):
            contract.from_json(changed(**{field: wrong}), "n.onnx")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": True}, "contract says version True, this darkroom knows int; update darkroom"),
        ({"halo": 4.0}, "contract says halo 4.0, this darkroom knows int;"),
        ({"name": 7}, "contract says name 7, this darkroom knows str;"),
        ({"max_ratio": "300"}, "contract says max_ratio '300', this darkroom knows float;"),
        ({"max_ratio": True}, "contract says max_ratio True, this darkroom knows float;"),
        ({"input": None}, "contract says input None, this darkroom knows headroom or balanced or sensor or srgb;"),
        ({"max_ratio": inf}, "contract holds a number that is not finite;"),
        ({"scale": 3}, "scale 3 contradicts packing bayer4, whose pixels are 2 photosites wide;"),
        ({"scale": 1}, "scale 1 contradicts packing bayer4, whose pixels are 2 photosites wide;"),
        ({"packing": "bayer3", "multiple": 3, "halo": 3}, "multiple 3 is no whole CFA cell, bayer3 wants multiples of"),
        ({"packing": "srgb3", "input": "balanced", "output": "srgb"}, "packing srgb3 with input balanced and output"),
        ({"halo": 2}, "halo 2 is no multiple of 4;"),
    ],
)
def test_what_contradicts_itself_is_refused(change, complaint):
    with pytest.raises(ModelError, match=f"^n.onnx: {complaint}"):
        contract.from_json(changed(**change), "n.onnx")


def test_a_whole_number_does_for_a_ratio():
    assert contract.from_json(changed(max_ratio=300), "n.onnx").max_ratio == 300


def test_every_input_of_a_mosaic_goes_with_every_output():
    for given in ("headroom", "balanced", "sensor"):
        for output in ("camera", "srgb"):
            assert contract.from_json(changed(input=given, output=output), "n.onnx").input == given
