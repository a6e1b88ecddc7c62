"""The contact sheet: what it tells, what it does in a browser, and that it is true whenever the batch ends."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import dark
from pages import VOID, checked
from PIL import Image

from darkroom.batch import batch
from darkroom.batch import sheet as batch_sheet
from darkroom.batch.batch import Result
from darkroom.batch.sheet import Sheet
from darkroom.errors import OutputError
from darkroom.write import sheet
from darkroom.write.sheet import Entry

WORDS = ("develop", "--model", "n.onnx", "--amp", "2", "--sheet")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
VOID |= {"input"}

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def night(write_dng) -> Path:
    """Two photos and what is none."""
    Path("night").mkdir()
    write_dng("night/a.dng", dark((64, 80)))
    write_dng("night/b.dng", dark((64, 80), seed=1))
    Path("night/c.dng").write_bytes(b"no raw")
    return Path("night")


def said(html: str) -> str:
    return " ".join(checked(re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)).text)


def dom(page: Path, script: str) -> str:
    """What a page has become once a script has run on it in headless Chromium."""
    if not CHROMIUM:
        pytest.skip("no Chromium")
    probe = page.with_name("probe.html")
    asked = f"<script>addEventListener('load',()=>setTimeout(()=>{{{script}}},50))</script></body>"
    probe.write_text(page.read_text().replace("</body>", asked))
    words = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000", "--dump-dom")
    folder = f"--user-data-dir={page.parent.absolute() / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *words, folder, probe.absolute().as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_a_batch_leaves_a_page_of_what_became_of_each_photo(run, night):
    code, out, err = run(*WORDS, "night", "-o", "out")
    assert code == 1 and "contact sheet: out/index.html" in err and "index.html" not in out
    page = Path("out/index.html").read_text()
    text = said(page)
    for fact in ("a.png", "b.png", "x2", "1/30 s, f/2.8", "3200", "Darkroom Demo", "0.0 %", "2 pictures, 1 failed"):
        assert fact in text, fact
    assert "night/c.dng: " in text
    asked = [name for name in checked(page).asked if not name.startswith("#")]
    assert asked and all((Path("out") / name).is_file() for name in asked)  # nothing from elsewhere
    with Image.open("out/sheet/a.png-before.jpg") as before, Image.open("out/a.png") as after:
        assert before.size == after.size and (np.asarray(before) != np.asarray(after)).any()


def test_a_later_run_goes_on_with_the_page_and_a_format_browsers_lack_gets_a_copy(run, night):
    Path("night/c.dng").unlink()
    b = Path("night/b.dng").rename("b.dng")
    run(*WORDS, "night", "-o", "out", "--format", "tiff")
    b.rename("night/b.dng")
    code, _, _ = run(*WORDS, "night", "-o", "out", "--format", "tiff", "--bits", "32")
    text = said(Path("out/index.html").read_text())
    assert code == 0 and "a.tif" in text and "b.tif" in text and text.count("1/30 s") == 2
    for name in "ab":
        with Image.open(f"out/sheet/{name}.tif-picture.jpg") as copy:
            assert copy.size == (80, 64) and np.ptp(np.asarray(copy)) > 50


def test_a_stopped_batch_leaves_a_true_page(run, night, monkeypatch):
    wrote = batch._write

    def once(work, *rest):
        if work.input.name == "b.dng":
            raise KeyboardInterrupt
        return wrote(work, *rest)

    monkeypatch.setattr(batch, "_write", once)
    monkeypatch.setattr("darkroom.cli.running._leave_now", lambda: None)
    run(*WORDS, "night", "-o", "out")
    text = said(Path("out/index.html").read_text())
    assert "a.png" in text and "b.png" not in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--format", "dng", "-o", "out/"), "--sheet: it shows pictures, a DNG is not one yet; leave it out"),
        (("-o", "taken"), "taken/index.html: is no contact sheet; move it, or leave --sheet out"),
    ],
)
def test_what_cannot_have_a_sheet_is_refused(run, photo, words, complaint):
    Path("taken").mkdir()
    Path("taken/index.html").write_text("<p>mine</p>")
    code, out, err = run(*WORDS, "a.dng", *words)
    assert (code, out, err) == (2, "", f"darkroom: {complaint}\n")
    assert Path("taken/index.html").read_text() == "<p>mine</p>"


def entries() -> list[Entry]:
    """Three pictures of two cameras, one of an unkind name, and a failure."""
    for name in ("one", "two", "x"):
        Image.new("RGB", (60, 40), "red").save(f"{name}.jpg")
    unkind = "<script>alert(1)</script>#?.jpg".replace("/", "_")
    Image.new("RGB", (60, 40)).save(unkind)
    return [
        Entry("one.jpg", "one.jpg", "x.jpg", camera="A", ratio=5.0),
        Entry("two.jpg", "two.jpg", "x.jpg", camera="B", ratio=90.0),
        Entry(unkind, unkind, "gone.jpg", camera="A", ratio=20.0),
        Entry("bad.dng", error="bad.dng: no <b>raw</b>; copy it again"),
    ]


def test_a_name_with_markup_is_text_and_both_pictures_show_without_script():
    sheet.write(Path("index.html"), entries(), "night & day")
    page = Path("index.html").read_text()
    assert "<script>alert" not in page and "<b>raw" not in page and "night & day" in said(page)
    assert "%3Cscript%3Ealert%281%29%3C_script%3E%23%3F.jpg" in page
    assert page.count('alt="developed"') == 3 and ".js section{display:none" in page  # hidden by script alone


def test_in_a_browser_the_slider_moves_and_what_is_missing_is_said():
    sheet.write(Path("index.html"), entries(), "night")
    script = (
        "const r=document.querySelector('#p0 input');r.value=20;r.dispatchEvent(new Event('input'));"
        "location.hash='#p2';"
        "setTimeout(()=>{document.title=[r.parentElement.style.getPropertyValue('--at'),"
        "document.querySelectorAll('.missing').length,document.querySelector('#p2 .missing').textContent,"
        "document.querySelector('#p2 .after img').naturalWidth,typeof window.alerted].join('|')},1500)"
    )
    title = re.search(r"<title>(.*?)</title>", dom(Path("index.html"), script))[1]
    assert title == "20%|1|gone.jpg is missing from the disk|60|undefined"


def test_in_a_browser_keys_sorting_and_filters_work():
    sheet.write(Path("index.html"), entries(), "night")
    script = (
        "const told=[],key=k=>document.body.dispatchEvent(new KeyboardEvent('keydown',{key:k,bubbles:true})),"
        "set=(id,v)=>{const e=document.getElementById(id);e.type=='checkbox'?e.checked=v:e.value=v;"
        "e.dispatchEvent(new Event('change'))},"
        "order=()=>[...document.querySelectorAll('.card:not([hidden])')].map(c=>c.dataset.number).join('');"
        "location.hash='#p0';key('ArrowRight');told.push(location.hash);key('ArrowLeft');key('ArrowLeft');"
        "told.push(location.hash);key('Escape');told.push(location.hash);set('sort','ratio');told.push(order());"
        "set('camera','A');told.push(order());set('camera','');set('failed',true);told.push(order());"
        "document.title=told.join('|')"
    )
    title = re.search(r"<title>(.*?)</title>", dom(Path("index.html"), script))[1]
    assert title == "#p1|#p3||1203|20|3"


def test_the_page_is_written_at_once_and_then_not_with_every_photo(here):
    page = Sheet(Path("out"))
    for name in "ab":
        page.heard(Result(Path(f"{name}.dng"), None, "failed", error="no light"))
    assert "a.dng" in Path("out/index.html").read_text() and "b.dng" not in Path("out/index.html").read_text()
    page.written -= 3600
    page.heard(Result(Path("c.dng"), None, "failed", error="no light"))
    assert "c.dng" in Path("out/index.html").read_text()


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
def test_thumbnails_go_from_black_to_white_at_any_depth(dtype, white):
    shown = batch_sheet._eight(np.array([0, white], dtype))
    assert shown.dtype == np.uint8 and shown.tolist() == [0, 255]
    if dtype == np.float32:
        grey = batch_sheet._eight(np.array([-1, 0.216, 2], np.float32))
        assert grey.tolist() == [0, 128, 255], "linear light under the sRGB curve"


def written(*entries: Entry, title: str = "night") -> str:
    sheet.write(Path("index.html"), list(entries), title)
    return Path("index.html").read_text()


def test_cameras_are_offered_once_in_order_and_failures_counted():
    cameras = ("B", "A", "B", "", "C & D")
    page = written(*(Entry("a", "a", camera=camera) for camera in cameras), Entry("b", error="no light"))
    options = page.split('<select id="camera">')[1].split("</select>")[0]
    assert options == ('<option value="">all</option><option>A</option><option>B</option><option>C &amp; D</option>')
    assert "<p>5 pictures, 1 failed</p>" in page and sheet.MARK in page
    assert [int(number) for number in re.findall(r'data-number="(\d+)"', page)] == list(range(6))


def test_a_card_tells_the_ratio_and_leads_to_its_view():
    page = written(Entry("a <b>.png", "a.png", thumbnail="small.jpg", camera="A & B", ratio=123.456789))
    card = page.split('<main id="grid">')[1].split("</main>")[0]
    assert card == (
        '<a class="card" href="#p0" data-number="0" data-ratio="123.457" data-camera="A &amp; B">'
        '<img loading="lazy" src="small.jpg" alt="a &lt;b&gt;.png"><b>a &lt;b&gt;.png</b><span>x123</span></a>'
    )


def test_a_card_without_thumbnail_shows_the_picture_and_one_without_ratio_tells_none():
    card = sheet._card(3, Entry("a", "folder/a b.png"))
    assert 'src="folder/a%20b.png"' in card and card.endswith("<span></span></a>") and 'data-ratio="0"' in card


def test_a_card_of_a_failure_says_so_and_shows_no_picture():
    card = sheet._card(7, Entry("a.dng", error="a.dng: no light"))
    assert card == (
        '<a class="card bad" href="#p7" data-number="7" data-ratio="0" data-camera="">'
        '<span class="none">failed</span><b>a.dng</b><span>failed</span></a>'
    )


def test_a_view_tells_every_fact_that_is_known():
    known = Entry(
        "a", "a", ratio=12.34, exposure="1/30 s", iso=3200.4, camera="A", clipped=0.01234, notes=("<one>", "2")
    )
    view = sheet._view(0, known, 1)
    facts = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", view)
    assert facts == [
        ("ratio", "x12.3"), ("exposure", "1/30 s"), ("ISO", "3200"), ("camera", "A"), ("clipped", "1.2 %")
    ]  # fmt: skip
    assert view.endswith("</dl><p>&lt;one&gt;</p><p>2</p></section>")
    assert "<dl></dl>" in sheet._view(0, Entry("a", "a"), 1)
    assert "<dd>0.0 %</dd>" in sheet._view(0, Entry("a", "a", clipped=0.0), 1), "none clipped is known, too"


def test_a_slider_needs_both_pictures():
    both, one, none = (
        sheet._view(0, entry, 1)
        for entry in (Entry("a", "a.png", "b.jpg"), Entry("a", "a.png"), Entry("a", error="x<y"))
    )
    assert both.count("<figure") == 2 and both.count('type="range"') == 1
    assert re.findall(r'<figure class="(\w+)"><img loading="lazy" src="(.*?)" alt="(.*?)">', both) == [
        ("after", "a.png", "developed"),
        ("before", "b.jpg", "plainly amplified"),
    ]
    assert 'min="0" max="100" value="50"' in both
    assert one.count("<figure") == 1 and "<input" not in one
    assert "<figure" not in none and '<p class="error">x&lt;y</p>' in none


@pytest.mark.parametrize(("number", "before", "after"), [(0, 2, 1), (1, 0, 2), (2, 1, 0)])
def test_the_ways_from_view_to_view_go_round(number, before, after):
    view = sheet._view(number, Entry("a", "a"), 3)
    assert f'<section id="p{number}">' in view
    assert f'href="#p{before}" rel="prev"' in view and f'href="#p{after}" rel="next"' in view


def test_a_page_that_cannot_be_written_names_the_way_out():
    with pytest.raises(OutputError) as refused:
        sheet.write(Path("gone/index.html"), [], "night")
    assert str(refused.value) == "gone/index.html: cannot be written (no such file or directory); leave --sheet out"
