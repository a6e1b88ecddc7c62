"""The networks: what they give, how they start, what they see and what they cost."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from darkroom.develop import cfa, model
from darkroom.develop.contract import PIXEL, PLANES, WHOLE
from darkroom.errors import SettingsError
from darkroom.frame import CELL
from darkroom.train import count, export, networks, recipe
from darkroom.train.networks.can import Can
from darkroom.train.networks.half import Half, encode
from darkroom.train.networks.red import Red
from darkroom.train.networks.unet import Unet

SMALL = {
    "unet": {"width": 4, "levels": 3},
    "can": {"width": 4},
    "red": {},
    "half": {"width": 4, "down": [0, 1, 1, 0]},
}
MADE = [(name, packing) for name in ("unet", "can") for packing in PLANES]
MADE += [(name, packing) for name in ("red", "half") for packing in ("bayer4", "xtrans9")]
BAYER_FRAME = (2848, 4256)
"""The frame that RED's Table 1 counts on."""


def bright(packing: str, height: int, width: int, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(1, PLANES[packing], height, width, generator=torch.Generator().manual_seed(seed))
    return noise * 1.2 - 0.2


@pytest.mark.parametrize(("name", "packing"), MADE)
def test_a_network_gives_three_colours_at_full_size(name, packing):
    network = networks.build(name, packing, SMALL[name]).eval()
    multiple = network.multiples[packing]
    height, width = (multiple * max(1, 16 // multiple), multiple * max(2, 24 // multiple))
    with torch.inference_mode():
        picture = network(bright(packing, height, width) * 5)
    assert picture.shape == (1, 3, height * PIXEL[packing], width * PIXEL[packing])
    assert picture.min() >= 0 and picture.max() <= 1
    assert multiple % WHOLE[packing] == 0


@pytest.mark.parametrize(("name", "packing"), MADE)
def test_the_blocks_hold_every_parameter_once(name, packing):
    network = networks.build(name, packing, SMALL[name])
    blocks = network.blocks()
    held = [id(p) for block in blocks for p in block.parameters()]
    assert sorted(held) == sorted(id(p) for p in network.parameters())
    assert len(blocks) > 4


@pytest.mark.parametrize(("name", "packing"), MADE)
def test_every_parameter_can_learn(name, packing):
    torch.manual_seed(0)
    network = networks.build(name, packing, SMALL[name])
    if name == "can":  # what starts at 0 hides what lies behind it
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.02 * torch.randn_like(parameter)
    multiple = network.multiples[packing]
    picture = network(bright(packing, 2 * multiple, 2 * multiple))
    (picture * torch.rand_like(picture)).sum().backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("name", ["unet", "can"])
def test_outputs_are_clipped_in_use_and_not_in_training(name):
    torch.manual_seed(0)
    network = networks.build(name, "bayer4", SMALL[name])
    with torch.no_grad():
        network.last.bias.copy_(torch.linspace(-2, 3, 12))
        picture = network(bright("bayer4", 16, 16))
        assert picture.min() < 0 and picture.max() > 1
        clipped = network.eval()(bright("bayer4", 16, 16))
    assert clipped.min() == 0 and clipped.max() == 1


def test_parameters_and_costs_are_those_of_the_papers():
    unet, red = networks.build("unet", "bayer4", {}), networks.build("red", "bayer4", {})
    assert count.parameters(unet) == 7_760_268
    assert round(count.macs(unet, "bayer4", *BAYER_FRAME) / 1e9) == 562
    assert count.parameters(red) == 784_768
    assert round(count.macs(red, "bayer4", *BAYER_FRAME) / 1e9, 1) == 59.8


def test_x_trans_costs_the_published_parameters():
    assert count.parameters(networks.build("unet", "xtrans9", {})) == 7_762_203


def test_counting_knows_layers_by_hand():
    torch.manual_seed(0)
    network = networks.build("unet", "bayer4", {"width": 2, "levels": 2})
    # Sites of the upper level are 4 x 6, of the lower 2 x 3; biases and rectified values count as one each.
    upper = 24 * (9 * (4 * 2 + 2 * 2) + 4 + 4)
    lower = 6 * (9 * (2 * 4 + 4 * 4) + 8 + 8)
    up = 24 * 4 * 2 + 24 * (9 * (4 * 2 + 2 * 2) + 4 + 4)
    pooled, last = 24 * 2, 24 * (2 * 12 + 12)
    assert count.macs(network, "bayer4", 8, 12) == upper + pooled + lower + up + last
    assert count.macs(network, "bayer4", 6, 10) == count.macs(network, "bayer4", 8, 12)
    assert next(network.parameters()).device.type == "cpu" and network.training


def test_the_depths_of_the_canon_study_halve_and_double_the_deepest_level():
    with torch.device("meta"):
        counts = {levels: count.parameters(Unet("bayer4", levels=levels)) for levels in (3, 4, 5, 6)}
    assert counts == {3: 467_084, 4: 1_926_028, 5: 7_760_268, 6: 31_094_156}
    assert [networks.build("unet", "xtrans9", {"width": 2, "levels": n}).multiples["xtrans9"] for n in (1, 3, 5)] == [
        2, 4, 16,
    ]  # fmt: skip


def reach(network: nn.Module, packing: str, side: int) -> int:
    """How far away, in packed pixels, a network sees a spot of light in a row of `side`."""
    for module in network.modules():
        module.training = module is network  # no statistics of the row at hand, no clipping of what comes out
    with torch.inference_mode():
        for p in network.double().parameters():
            p.abs_().add_(0.01)  # nothing cancels, no rectifier closes
        dark = torch.ones(1, PLANES[packing], network.multiples[packing], side, dtype=torch.double)
        farthest = 0
        for place in range(side // 2, side // 2 + network.multiples[packing]):
            lit = dark.clone()
            lit[..., place] = 1e4
            changed = (network(lit) != network(dark)).any(1).any(1)[0].nonzero().flatten() // PIXEL[packing]
            farthest = max(farthest, place - int(changed[0]), int(changed[-1]) - place)
    return farthest


def test_a_network_sees_as_far_as_its_paper_says():
    assert reach(Unet("bayer4", width=1, levels=3), "bayer4", 96) == 23
    assert reach(Unet("bayer4", width=1, levels=4), "bayer4", 160) == 51
    assert reach(Unet("bayer4", width=1), "bayer4", 320) == 107
    assert reach(Can("xtrans36", width=1), "xtrans36", 320) == 128


def test_unet_starts_as_its_authors_do():
    torch.manual_seed(0)
    network = Unet("bayer4")
    bottom = network.down[-1].second
    bound = (6 / (9 * 512 + 9 * 512)) ** 0.5
    assert bottom.bias.abs().max() == 0 and bound * 0.99 < bottom.weight.abs().max() <= bound
    up = network.up[0].enlarge
    assert up.bias is None and up.weight.std().item() == pytest.approx(0.02 * 0.88, rel=0.02)  # cut at two deviations


def test_can_starts_as_the_identity_with_its_norm_switched_off():
    network = Can("bayer4", width=6)
    with torch.no_grad():
        x = bright("bayer4", 12, 12).abs()
        for layer in network.layers:
            x = layer(x)
    assert (x[:, :4] == bright("bayer4", 12, 12).abs()).all() and x[:, 4:].abs().max() == 0


def test_the_norm_of_can_learns_in_training_and_holds_in_use():
    network = Can("bayer4", width=4)
    first = network.layers[0]
    with torch.no_grad():
        first.plain.zero_()
        first.normed.fill_(1)
        light = bright("bayer4", 32, 32) * 3 + 5
        normed = first(light)
        positive = normed[normed > 0]
        assert positive.numel() in range(1000, 3000)  # about half lie above the mean
        first.norm.momentum = 0.5
        for _ in range(20):
            network(light)
        network.eval()
        assert (first(light) - normed).abs().max() < 0.01
        part = first(light[..., :16])
        assert (part[..., :15] - first(light)[..., :15]).abs().max() < 1e-5  # a tile meets the whole's statistics


def test_plain_rdb_differs_from_the_starred_one():
    torch.manual_seed(0)
    starred = Red("bayer4").eval()
    plain = Red("bayer4", star=False).eval()
    plain.load_state_dict(starred.state_dict())
    with torch.inference_mode():
        assert (starred(bright("bayer4", 32, 32)) - plain(bright("bayer4", 32, 32))).abs().max() > 0


def test_encoding_is_odd_and_keeps_black_and_white():
    x = torch.linspace(-2, 2, 101)
    assert torch.allclose(encode(x), -encode(-x)) and (encode(x).diff() > 0).all()
    assert encode(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0, 1])


def test_coarser_levels_see_light_averaged_before_it_is_encoded():
    network = networks.build("half", "bayer4", {"width": 4}).eval()
    with torch.no_grad():
        network.head.weight.zero_()
    level = torch.full((1, 4, 64, 64), 0.02)
    noise = 0.3 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).tile(32, 32)
    assert torch.allclose(network(level + noise), network(level), atol=1e-6)
    assert not torch.allclose(network(2 * level), network(level), atol=1e-4)


def test_each_of_the_nine_squares_of_an_xtrans_cell_has_weights_of_its_own():
    network, seen = networks.build("half", "xtrans9", {"width": 4}), []
    network.down[0].register_forward_pre_hook(lambda module, given: seen.append(given[0][0]))
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.arange(36.0))
        network(torch.zeros(1, 9, 32, 32))
    squares = torch.arange(36.0).reshape(4, 3, 3)
    assert torch.equal(seen[0], squares.tile(1, 16, 16))


def test_the_light_of_coarser_levels_is_that_of_a_virtual_bayer_sensor():
    network = networks.build("half", "xtrans9", {"width": 4})
    flat = torch.tensor([0.2, 0.5, 0.8])[torch.from_numpy(CELL["xtrans"]).long()].tile(8, 8)
    packed = torch.from_numpy(cfa.pack(flat.numpy(), "xtrans9"))
    with torch.no_grad():
        light = F.pixel_shuffle(network.virtual(packed[None]), 3)[0, :, 3:-3, 3:-3]
    assert torch.allclose(light, torch.tensor([0.2, 0.5, 0.8, 0.5])[:, None, None], atol=1e-6)


OF_BEFORE = {"fine-xtrans": ("head.weight", "head.bias", "virtual.weight", *(f"lit.{n}.weight" for n in range(4)))}
"""Networks whose way in is that of an earlier Half, and the tensors that training from them has to find anew."""


@pytest.mark.parametrize("file", model.shipped(), ids=lambda file: file.stem)
def test_the_shipped_weights_still_fit_the_network_of_their_recipe(file):
    loaded = onnx.load(file)
    shipped = {w.name: tuple(w.dims) for w in loaded.graph.initializer}
    told = {entry.key: entry.value for entry in loaded.metadata_props}
    plan = recipe.parse(told[export.RECIPE], str(file), name=file.stem)
    ours = networks.build(plan.network, model.read_contract(file).packing, plan.arguments).state_dict()
    apart = {key for key, value in ours.items() if shipped.get(key) != tuple(value.shape)}
    assert apart == set(OF_BEFORE.get(file.stem, ()))


def test_building_takes_what_a_recipe_says():
    network = networks.build("half", "xtrans9", {"width": 6, "down": [1, 0, 0, 2], "bottom": 3})
    assert isinstance(network, Half) and network.last.in_channels == 6 and len(network.bottom) == 3
    assert [len(level) for level in network.down] == [1, 0, 0, 2]
    assert not networks.build("red", "bayer4", {"star": False}).dense[0].star


@pytest.mark.parametrize(
    ("name", "packing", "arguments", "complaint"),
    [
        ("resnet", "bayer4", {}, "network resnet: no such network; choose half, red, unet, can"),
        ("unet", "bayer4", {"depth": 3}, "network unet: has no argument depth; it takes width, levels"),
        ("unet", "bayer4", {"packing": "xtrans9"}, "network unet: has no argument packing"),
        ("unet", "bayer4", {"width": 0}, "network unet: width is 0; give it as 32 is, sizes greater than 0"),
        ("unet", "bayer4", {"width": "wide"}, "network unet: width is 'wide'; give it as 32 is"),
        ("can", "bayer4", {"width": True}, "network can: width is True; give it as 32 is"),
        ("red", "bayer4", {"star": 1}, "network red: star is 1; give it as True is"),
        ("half", "bayer4", {"up": [1, 2]}, r"network half: up is \[1, 2\]; give it as \(1, 1, 1, 2\) is"),
        ("red", "bayer3", {}, "network red: has no form for bayer3; choose bayer4, xtrans9"),
        ("half", "srgb3", {}, "network half: has no form for srgb3; choose bayer4, xtrans9"),
    ],
)
def test_what_cannot_be_built_is_refused(name, packing, arguments, complaint):
    with pytest.raises(SettingsError, match=f"^{complaint}") as refusal:
        networks.build(name, packing, arguments)
    assert "\n" not in str(refusal.value)


def test_networks_are_drawn_from_torchs_generator():
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(networks.build("unet", "bayer4", SMALL["unet"]).last.weight.detach().numpy())
    assert (weights[0] == weights[1]).all() and np.abs(weights[0] - weights[2]).max() > 0
