"""What a network promises, and what is refused."""

import json
from dataclasses import asdict

import pytest
from made import EVERY, arranged, contract_for

from darkroom.develop import contract
from darkroom.errors import ModelError


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
