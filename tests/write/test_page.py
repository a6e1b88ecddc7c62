"""Pages: well-formed, self-contained, and what they draw is where the numbers say."""

import base64
import io
import re
from xml.etree import ElementTree

import imageio.v3 as imageio
import numpy as np
import pytest
from pages import checked

from darkroom.errors import OutputError
from darkroom.write import page


def svg_of(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html)


def places(svg: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """The points of every curve; strokes of the legend left out."""
    paths = [path.get("d") for path in svg.iter("path")]
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)]
        for path in paths
        if "h" not in path
    ]


def texts(svg: ElementTree.Element) -> list[str]:
    return [text.text for text in svg.iter("text")]


def test_a_page_is_well_formed_and_needs_nothing_else(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    parts = [
        page.heading("a < b"),
        page.paragraph("fish & chips"),
        page.chart({"<one>": [(0, 1), (1, 2)]}, x="s & t", y='"loss"'),
        page.table(["<th>"], [["<td>"]]),
        page.row([page.picture(noise, 'a "quoted" <caption>'), page.picture(noise, "b")]),
    ]
    page.write(tmp_path / "r.html", "<Title> & more", parts)
    html = (tmp_path / "r.html").read_text()
    checker = checked(html)
    assert all(address.startswith("data:image/") for address in checker.asked) and len(checker.asked) == 2
    assert "http" not in html and "@import" not in html and "url(" not in html and "<script" not in html
    for said in ("<Title> & more", "a < b", "fish & chips", "<td>", "<one>", "s & t", 'a "quoted" <caption>'):
        assert said in checker.text
    assert "prefers-color-scheme:dark" in html
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_a_page_replaces_an_older_one_and_says_where_it_cannot_be(tmp_path):
    page.write(tmp_path / "r.html", "first", [])
    page.write(tmp_path / "r.html", "second", [])
    assert "first" not in (tmp_path / "r.html").read_text()
    with pytest.raises(OutputError, match="none/r.html: cannot be written .no such file.*choose another file"):
        page.write(tmp_path / "none" / "r.html", "lost", [])


def test_a_picture_is_held_by_the_page():
    flat = np.full((40, 60, 3), (200, 100, 50), np.uint8)
    address = checked(page.picture(flat, "flat")).asked[0]
    kind, data = address.split(";base64,")
    assert kind == "data:image/jpeg"
    read = imageio.imread(io.BytesIO(base64.b64decode(data)))
    assert read.shape == (40, 60, 3) and np.abs(read.astype(int) - flat).max() <= 2


@pytest.mark.parametrize(("name", "kind"), [("a.png", "png"), ("a.jpg", "jpeg"), ("A.PNG", "png")])
def test_a_stored_picture_is_held_as_it_is(name, kind, tmp_path):
    (tmp_path / name).write_bytes(b"the very bytes")
    address = checked(page.stored(tmp_path / name, "a")).asked[0]
    assert address == f"data:image/{kind};base64,{base64.b64encode(b'the very bytes').decode()}"


def test_numbers_are_aligned_to_the_right():
    html = page.table(["name", "dB", "note"], [["a", "-1.5", "3 of 4"], ["b", "", "none"], ["c", "+2", ""]])
    assert html.count('<th class="number">dB</th>') == 1
    assert '<td class="number">-1.5</td><td>3 of 4</td>' in html and "<td>a</td>" in html
    assert '<td class="number"></td><td>none</td>' in html


def test_a_table_whose_rows_do_not_fit_is_a_mistake():
    with pytest.raises(ValueError):
        page.table(["one", "two"], [["only"]])


def test_curves_are_drawn_to_scale():
    [curve] = places(svg_of(page.chart({"a": [(0, 0), (5, 10), (10, 5)]}, x="x", y="y")))
    (x0, y0), (x1, y1), (x2, y2) = curve
    assert x0 == page.LEFT and x2 == page.WIDTH - page.RIGHT and x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert y0 == page.HEIGHT - page.BOTTOM and y1 == page.TOP and y2 == pytest.approx((y0 + y1) / 2, abs=0.1)


def test_axes_bear_names_and_round_numbers():
    said = texts(svg_of(page.chart({"loss": [(0, 0.13), (48_000, 0.91)]}, x="step", y="L1")))
    assert {"step", "L1", "loss", "0", "10,000", "50,000", "0.2", "1"} <= set(said)


def test_a_wide_range_is_drawn_by_decades():
    svg = svg_of(page.chart({"a": [(1, 0.001), (10, 0.1), (1000, 10)]}, x="ratio", y="y"))
    (x0, y0), (x1, y1), (x2, y2) = places(svg)[0]
    assert (x1 - x0) / (x2 - x0) == pytest.approx(1 / 3, abs=0.01)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(1 / 2, abs=0.01)
    assert {"1", "10", "100", "1,000", "0.001"} <= set(texts(svg))


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 4e12])
def test_a_single_number_can_be_drawn(value):
    [[(x, y)]] = places(svg_of(page.chart({"a": [(value, value)]}, x="x", y="y")))
    assert page.LEFT <= x <= page.WIDTH - page.RIGHT and page.TOP <= y <= page.HEIGHT - page.BOTTOM


def test_what_is_not_finite_interrupts_a_curve():
    points = [(0, 1), (1, 2), (2, float("nan")), (3, float("inf")), (4, 1), (5, 2)]
    svg = svg_of(page.chart({"a": points}, x="x", y="y"))
    path = next(path.get("d") for path in svg.iter("path"))
    assert path.count("M") == 2 and path.count("L") == 2 and "nan" not in path and "inf" not in path


def test_nothing_to_draw_is_said():
    for series in ({}, {"a": []}, {"a": [(0, float("nan"))]}):
        assert "loss: nothing to draw yet." in checked(page.chart(series, x="step", y="loss")).text


def test_the_pointer_finds_the_numbers_of_every_curve():
    svg = svg_of(page.chart({"a": [(1, 0.25), (2, 0.5)], "b": [(2, 0.75)]}, x="step", y="y"))
    stops = [[text.text for text in group.iter("text")] for group in svg.iter("g")]
    assert stops == [["step 1", "a: 0.25"], ["step 2", "a: 0.5", "b: 0.75"]]
    fields = [next(group.iter("rect")) for group in svg.iter("g")]
    assert float(fields[0].get("x")) == page.LEFT
    assert sum(float(field.get("width")) for field in fields) == page.WIDTH - page.LEFT - page.RIGHT


def test_a_curve_named_as_its_axis_has_no_legend():
    html = {name: page.chart({name: [(0, 1), (1, 2)]}, x="step", y="loss") for name in ("loss", "validation")}
    assert len(texts(svg_of(html["validation"]))) == len(texts(svg_of(html["loss"]))) + 1
    assert svg_of(html["loss"]).get("viewBox") == f"0 0 {page.WIDTH} {page.HEIGHT}"


def test_long_curves_stay_light():
    series = {"a": [(i, i % 7) for i in range(5000)]}
    html = page.chart(series, x="x", y="y")
    assert html.count('class="stop"') <= page.STOPS and len(places(svg_of(html))[0]) == 5000


def test_more_curves_than_colours_are_told_apart():
    svg = svg_of(page.chart({f"system {i}": [(0, i), (1, i)] for i in range(20)}, x="x", y="y"))
    styles = [path.get("style") for path in svg.iter("path")]
    assert len(set(styles)) == 20 and len(styles) == 40, "a curve and its stroke in the legend look alike"
    assert {f"system {i}" for i in range(20)} <= set(texts(svg))
    bottom = max(float(text.get("y", 0)) for text in svg.iter("text"))
    assert bottom < float(svg.get("viewBox").split()[3])


def test_what_begins_along_a_chart_is_marked():
    svg = svg_of(page.chart({"a": [(0, 1), (100, 2)]}, x="s", y="a", marks=[(50, "second <2>"), (500, "too far")]))
    (line,) = [line for line in svg.iter("line") if line.get("class") == "begins"]
    assert float(line.get("x1")) == pytest.approx((page.LEFT + page.WIDTH - page.RIGHT) / 2, abs=0.1)
    assert "second <2>" in texts(svg) and "too far" not in texts(svg)


def test_names_stand_in_the_middle_of_their_axes_and_numbers_beside_their_ticks():
    svg = svg_of(page.chart({"a": [(0, 0), (5, 10), (10, 5)]}, x="step", y="loss"))
    said = {text.text: text for text in svg.iter("text")}
    middle, height = (page.LEFT + page.WIDTH - page.RIGHT) / 2, (page.TOP + page.HEIGHT - page.BOTTOM) / 2
    assert float(said["step"].get("x")) == middle
    assert page.HEIGHT - page.BOTTOM < float(said["step"].get("y")) < page.HEIGHT
    assert said["loss"].get("transform").endswith(f" {height}) rotate(-90)")
    grid = [line for line in svg.iter("line") if line.get("class") == "grid"]
    rules, marks = ([line for line in grid if line.get(f"{end}1") == line.get(f"{end}2")] for end in "yx")
    assert [(float(line.get("x1")), float(line.get("x2"))) for line in rules] == (
        [(page.LEFT, page.WIDTH - page.RIGHT)] * len(rules)
    )
    for line, told in zip(rules, ("0", "2", "4", "6", "8", "10"), strict=True):
        beside = next(text for text in svg.iter("text") if text.text == told and text.get("text-anchor") == "end")
        assert 0 < float(beside.get("y")) - float(line.get("y1")) <= 5 and float(beside.get("x")) == page.LEFT - 6
    foot = page.HEIGHT - page.BOTTOM
    for line, told in zip(marks, ("0", "2", "4", "6", "8", "10"), strict=True):
        below = next(text for text in svg.iter("text") if text.text == told and text.get("text-anchor") == "middle")
        assert below.get("x") == line.get("x1") and (float(line.get("y1")), float(line.get("y2"))) == (foot, foot + 5)
        assert foot + 10 < float(below.get("y")) < page.HEIGHT - 8, "above the axis's name"


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0.0, 10.0), (0, 2, 4, 6, 8, 10)),
        ((1.0, 100.0), (0, 20, 40, 60, 80, 100)),
        ((0.13, 0.91), (0, 0.2, 0.4, 0.6, 0.8, 1)),
        ((-3.0, 3.0), (-4, -2, 0, 2, 4)),
        ((8.0, 8.0), (4, 6, 8, 10, 12)),
        ((-8.0, -8.0), (-12, -10, -8, -6, -4)),
        ((0.0, 0.0), (-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6)),
        ((1.0, 101.0), (1, 10, 100, 1000)),
        ((0.01, 10.0), (0.01, 0.1, 1, 10)),
        ((1.0, 1e6), (1, 10, 100, 1e3, 1e4, 1e5, 1e6)),
        ((1.0, 1e7), (1, 1e2, 1e4, 1e6)),
        ((0.0, 1000.0), (0, 200, 400, 600, 800, 1000)),
    ],
)
def test_ticks_are_round_and_hold_the_values_between_them(values, ticks):
    assert page._axis(values).ticks == pytest.approx(ticks)


def test_places_along_an_axis_go_from_its_first_tick_to_its_last():
    even, decades = page._axis((-3.0, 3.0)), page._axis((1.0, 1e7))
    assert [even.place(value) for value in (-4, 0, 2, 4)] == pytest.approx([0, 0.5, 0.75, 1])
    assert [decades.place(value) for value in (1, 10, 1e7)] == pytest.approx([0, 1 / 7, 1])


@pytest.mark.parametrize(
    ("number", "told"),
    [(0.0, "0"), (123456.0, "1.2346e+05"), (99999.0, "99,999"), (-0.123456, "-0.12346"), (1e6, "1e+06"),
     (-2.3456e6, "-2.35e+06")],
)  # fmt: skip
def test_numbers_are_told_with_as_many_digits_as_a_chart_has_room_for(number, told):
    assert page._told(number) == told


def test_points_of_a_curve_bear_dots_up_to_twenty_and_in_its_colour():
    for many, dots in ((20, 20), (21, 0)):
        svg = svg_of(page.chart({"y": [(i, i % 3) for i in range(many)]}, x="x", y="y"))
        assert len(list(svg.iter("circle"))) == dots
    svg = svg_of(page.chart({f"{i}": [(0, i), (1, i)] for i in range(10)}, x="x", y="y"))
    circles = list(svg.iter("circle"))
    assert [circle.get("style") for circle in circles[::2]] == [f"fill:var(--s{i % 8})" for i in range(10)]
    at = [(float(circle.get("cx")), float(circle.get("cy"))) for circle in circles]
    assert at == [point for curve in places(svg) for point in curve] and {circle.get("r") for circle in circles} == {
        "3"
    }


def test_the_ninth_series_is_dashed_and_the_seventeenth_otherwise():
    assert [page._ink(i) for i in (0, 7, 8, 15, 16)] == [
        "var(--s0)",
        "var(--s7)",
        "var(--s0);stroke-dasharray:6 4",
        "var(--s7);stroke-dasharray:6 4",
        "var(--s0);stroke-dasharray:10 4",
    ]


def test_a_legend_goes_on_in_a_new_line_only_where_a_name_no_longer_fits():
    room = page.WIDTH - page.LEFT - page.RIGHT
    name = "n" * 40
    wide = 40 + 6.6 * len(name)
    assert 2 * wide < room < 3 * wide
    pieces, height = page._legend([name] * 3)
    texts = [(float(x), float(y)) for x, y in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"', pieces)]
    first = page.HEIGHT + 8
    wanted = [(page.LEFT + 24, first + 4), (page.LEFT + wide + 24, first + 4), (page.LEFT + 24, first + 22)]
    assert np.allclose(texts, wanted)
    strokes = re.findall(r'd="M([\d.]+) ([\d.]+)h18"', pieces)
    assert np.allclose([(float(x) + 24, float(y) + 4) for x, y in strokes], texts)
    assert height == 8 + 18 + 14 and page._legend([name])[1] == 8 + 14
    assert page._legend(["n" * 200])[1] == 8 + 14, "a first name stays in its line, however long"


def test_fields_of_the_pointer_meet_halfway_between_the_places():
    svg = svg_of(page.chart({"y": [(0, 1), (2, 3), (10, 2)]}, x="x", y="y"))
    fields = [next(group.iter("rect")) for group in svg.iter("g")]
    room = page.WIDTH - page.LEFT - page.RIGHT
    edges = [page.LEFT + room * share for share in (0, 0.1, 0.6)]
    assert [float(field.get("x")) for field in fields] == pytest.approx(edges, abs=0.11)
    assert [float(field.get("width")) for field in fields] == pytest.approx(np.diff([*edges, 692]), abs=0.21)
    assert {(field.get("y"), field.get("height")) for field in fields} == {("12", "244")}
    lines = [next(group.iter("line")) for group in svg.iter("g")]
    assert [(line.get("x1"), line.get("y1"), line.get("y2")) for line in lines] == (
        [(line.get("x2"), str(page.TOP), str(page.HEIGHT - page.BOTTOM)) for line in lines]
    )


@pytest.mark.parametrize(("many", "stops"), [(200, 200), (201, 101), (400, 200), (401, 134)])
def test_no_more_places_answer_the_pointer_than_can_be_told_apart(many, stops):
    html = page.chart({"y": [(i, i) for i in range(many)]}, x="x", y="y")
    assert html.count('class="stop"') == stops


@pytest.mark.parametrize(("place", "left"), [(100.0, 108.0), (359.0, 367.0), (360.0, 303.0), (600.0, 543.0)])
def test_the_box_of_numbers_lies_on_the_side_that_has_room(place, left):
    box, *said = svg_of(f"<g>{page._tip(['a' * 5, 'b'], place)}</g>")
    assert float(box.get("x")) == left and (box.get("width"), box.get("height")) == ("49", "40")
    assert [(float(text.get("x")), float(text.get("y"))) for text in said] == [(left + 8, 28), (left + 8, 44)]


def test_what_begins_at_either_end_of_an_axis_is_marked_and_named_beside_its_top():
    marks = [(0, "first"), (100, "last"), (-0.1, "before"), (100.1, "after")]
    svg = svg_of(page.chart({"y": [(0, 1), (100, 2)]}, x="s", y="y", marks=marks))
    lines = [line for line in svg.iter("line") if line.get("class") == "begins"]
    assert [float(line.get("x1")) for line in lines] == [page.LEFT, page.WIDTH - page.RIGHT]
    assert {(float(line.get("y1")), float(line.get("y2"))) for line in lines} == {(12, 256)}
    names = {text.text: (text.get("x"), text.get("y")) for text in svg.iter("text")}
    assert names["first"] == (str(page.LEFT + 4.0), str(page.TOP + 10)) and not names.keys() & {"before", "after"}
