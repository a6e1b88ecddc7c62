"""Contact sheet: what became of each photo -> one HTML page that opens from disk, with its pictures beside it.

entries -> index.html: thumbnails in a grid, each opening to a slider between the plainly amplified and the developed.

Without JavaScript the thumbnails lead to both pictures, one above the other. Every text is escaped, every name quoted:
a file may be called anything.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from darkroom.errors import OutputError
from darkroom.write import part

MARK = '<meta name="generator" content="darkroom contact sheet">'
"""By which a page is known for ours, to be replaced."""


@dataclass(frozen=True)
class Entry:
    """One picture, or a photo that gave none."""

    name: str
    """Of the picture, or of the photo that failed."""
    picture: str | None = None
    """What a browser shows of it: a path from the page's folder, with / between the parts."""
    before: str | None = None
    """The photo plainly amplified; as above."""
    thumbnail: str | None = None
    camera: str = ""
    exposure: str = ""
    """In words."""
    iso: float = 0
    ratio: float | None = None
    clipped: float | None = None
    """Share of sites."""
    notes: tuple[str, ...] = ()
    error: str | None = None


def write(path: Path, entries: list[Entry], title: str) -> None:
    """Write the page in one step, replacing what was there; raises OutputError."""
    cards = "".join(_card(number, entry) for number, entry in enumerate(entries))
    views = "".join(_view(number, entry, len(entries)) for number, entry in enumerate(entries))
    cameras = sorted({entry.camera for entry in entries if entry.camera})
    options = "".join(f"<option>{escape(camera)}</option>" for camera in cameras)
    failed = sum(entry.error is not None for entry in entries)
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{MARK}<title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style>'
        f"<script>document.documentElement.classList.add('js')</script></head><body><h1>{escape(title)}</h1>"
        f"<p>{len(entries) - failed} pictures, {failed} failed</p>"
        '<form class="tools"><label>Sort <select id="sort"><option value="number">as developed</option>'
        '<option value="ratio">by ratio</option><option value="camera">by camera</option></select></label>'
        f'<label>Camera <select id="camera"><option value="">all</option>{options}</select></label>'
        '<label><input type="checkbox" id="failed"> failed only</label></form>'
        f'<main id="grid">{cards}</main>{views}<script>{_SCRIPT}</script></body></html>\n'
    )
    try:
        with part.part(path.parent) as (beside, file):
            file.write(html.encode("utf-8", "replace"))
            file.close()
            beside.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{path}: cannot be written ({reason}); leave --sheet out") from error


def _card(number: int, entry: Entry) -> str:
    data = f'data-number="{number}" data-ratio="{entry.ratio or 0:.6g}" data-camera="{escape(entry.camera)}"'
    if entry.error is not None:
        shown = '<span class="none">failed</span>'
    else:
        shown = _image(entry.thumbnail or entry.picture, entry.name)
    said = f"x{entry.ratio:.3g}" if entry.ratio else ("failed" if entry.error else "")
    return (
        f'<a class="card{" bad" if entry.error else ""}" href="#p{number}" {data}>{shown}'
        f"<b>{escape(entry.name)}</b><span>{said}</span></a>"
    )


def _view(number: int, entry: Entry, count: int) -> str:
    if entry.error is not None:
        shown = f'<p class="error">{escape(entry.error)}</p>'
    else:
        before = _side(entry.before, "plainly amplified", "before") if entry.before else ""
        slider = '<input type="range" min="0" max="100" value="50" aria-label="before and after">' if before else ""
        shown = f'<div class="slider">{_side(entry.picture, "developed", "after")}{before}{slider}</div>'
    facts = {
        "ratio": f"x{entry.ratio:.3g}" if entry.ratio else "",
        "exposure": entry.exposure,
        "ISO": f"{entry.iso:.0f}" if entry.iso else "",
        "camera": entry.camera,
        "clipped": "" if entry.clipped is None else f"{100 * entry.clipped:.1f} %",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items() if fact)
    notes = "".join(f"<p>{escape(note)}</p>" for note in entry.notes)
    ways = f'<a href="#p{(number - 1) % count}" rel="prev">‹ previous</a><a href="#p{(number + 1) % count}" rel="next">'
    return (
        f'<section id="p{number}"><nav><a href="#">all</a>{ways}next ›</a></nav><h2>{escape(entry.name)}</h2>'
        f"{shown}<dl>{rows}</dl>{notes}</section>"
    )


def _side(picture: str | None, what: str, kind: str) -> str:
    return f'<figure class="{kind}">{_image(picture, what)}<figcaption>{what}</figcaption></figure>'


def _image(picture: str | None, alt: str) -> str:
    return f'<img loading="lazy" src="{escape(quote(picture or "", errors="surrogateescape"))}" alt="{escape(alt)}">'


_STYLE = """
:root{color-scheme:light dark;--page:#fcfcfb;--ink:#1a1a19;--soft:#6b6a63;--line:#e0dfd8;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--page:#1a1a19;--ink:#f0efec;--soft:#a3a299;--line:#3a3935;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:110rem;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.4rem;margin:.5rem 0}h2{font-size:1.1rem;overflow-wrap:anywhere}a{color:inherit}
.tools{display:none;gap:1rem;flex-wrap:wrap;color:var(--soft)}.js .tools{display:flex}
#grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.8rem;margin:1rem 0}
.card{display:block;text-decoration:none;font-size:.85rem;overflow-wrap:anywhere}
.card[hidden]{display:none}
.card img,.none{display:block;width:100%;aspect-ratio:3/2;object-fit:cover;background:var(--line);border-radius:4px}
.none{display:grid;place-items:center;color:var(--bad)}.card b{font-weight:500;display:block}
.card span{color:var(--soft)}.bad b,.error{color:var(--bad)}
section{border-top:1px solid var(--line);padding:1rem 0}
.js section{display:none;border:0}.js section:target{display:block;position:fixed;inset:0;overflow:auto;padding:1rem;
background:var(--page);z-index:1}
nav{display:flex;gap:1.5rem}figure{margin:.5rem 0}figure img{display:block;max-width:100%;height:auto}
figcaption{color:var(--soft);font-size:.85rem}.slider input{display:none}
.js .slider{position:relative;--at:50%;width:fit-content;max-width:100%}
.js .slider figure{margin:0}.js .before{position:absolute;inset:0;clip-path:inset(0 calc(100% - var(--at)) 0 0)}
.js .before img{width:100%;height:100%}.js .slider figcaption{position:absolute;top:.5rem;right:.5rem;padding:0 .4rem;
background:#000a;color:#fff;border-radius:3px}.js .before figcaption{left:.5rem;right:auto}
.js .slider input{display:block;position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
.js .slider::after{content:"";position:absolute;top:0;bottom:0;left:var(--at);width:2px;background:#fff;
pointer-events:none;box-shadow:0 0 4px #000}.js .slider:not(:has(.before))::after{display:none}
.missing{padding:2rem;border:1px dashed var(--line);color:var(--bad)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:1rem 0}dt{color:var(--soft)}dd{margin:0}
"""

_SCRIPT = """
const grid=document.getElementById('grid'),cards=[...grid.children],field=id=>document.getElementById(id);
function gone(img){const p=document.createElement('div');p.className='missing';
p.textContent=decodeURIComponent(img.getAttribute('src')||img.alt)+' is missing from the disk';img.replaceWith(p)}
document.addEventListener('error',e=>{if(e.target.tagName==='IMG')gone(e.target)},true);
for(const img of document.images)if(img.complete&&!img.naturalWidth&&img.currentSrc)gone(img);
for(const range of document.querySelectorAll('.slider input'))
range.addEventListener('input',()=>range.parentElement.style.setProperty('--at',range.value+'%'));
const shown=()=>cards.filter(c=>!c.hidden);
function arrange(){const by=field('sort').value,camera=field('camera').value,failed=field('failed').checked;
cards.sort((a,b)=>by==='camera'?a.dataset.camera.localeCompare(b.dataset.camera)||a.dataset.number-b.dataset.number:
by==='ratio'?b.dataset.ratio-a.dataset.ratio:a.dataset.number-b.dataset.number);
for(const c of cards)c.hidden=!!(camera&&c.dataset.camera!==camera)||failed&&!c.classList.contains('bad');
grid.append(...cards)}
for(const id of['sort','camera','failed'])field(id).addEventListener('change',arrange);
arrange();
function go(step){const list=shown(),at=list.findIndex(c=>c.getAttribute('href')===location.hash);
if(at>=0&&list.length)location.hash=list[(at+step+list.length)%list.length].getAttribute('href')}
for(const a of document.querySelectorAll('nav a[rel]'))
a.addEventListener('click',e=>{e.preventDefault();go(a.rel==='next'?1:-1)});
document.addEventListener('keydown',e=>{if(e.target.matches('select'))return;
if(e.key==='ArrowRight'||e.key==='ArrowLeft'){e.preventDefault();go(e.key==='ArrowRight'?1:-1)}
if(e.key==='Escape')location.hash=''});
"""
