"""Which of two pictures people prefer, without a crowd: SID's A/B test as a page that one person goes through.

pictures (H, W, 3) of every system -> FOLDER/index.html, which needs nothing beside itself

Every two systems meet on every dark raw, blind: the order and which is left are drawn when the page opens, and no name
is shown before the end. Arrow keys choose, nothing needs a mouse. The end is a table of wins, each share with its 95 %
interval (Wilson 1927), and a CSV of every answer, which the browser saves.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from darkroom.errors import SettingsError
from darkroom.evaluate.case import Case, as_authors
from darkroom.evaluate.score import centre
from darkroom.evaluate.systems import Made
from darkroom.write import page

SIDE = 512
"""Pixels along a side of what is shown, the middle of each picture: pixel for pixel, two side by side on a screen."""
CSV = "preference.csv"
FEW = "--ab: compares two systems on one sensor; name another network, or --baselines libraw"


@dataclass(eq=False)
class Pairs:
    """Hears every case and its pictures, and pairs them."""

    pictures: list[str] = field(default_factory=list)
    """Data addresses."""
    questions: list[dict[str, str | int]] = field(default_factory=list)
    """Two systems on one dark raw: `a` and `b`, places in `pictures`, and the rest by name."""

    def keep(self, case: Case, made: Mapping[str, Made]) -> None:
        """Pair what every two systems made of a case."""
        places = {}
        for system, each in made.items():
            places[system] = len(self.pictures)
            self.pictures.append(page.address(as_authors(centre(each.picture, SIDE))))
        for first, second in combinations(made, 2):
            self.questions.append(
                {
                    "photo": case.photo,
                    "ratio": f"{case.ratio:g}",
                    "camera": case.camera,
                    "first": first,
                    "second": second,
                    "a": places[first],
                    "b": places[second],
                }
            )

    def write(self, folder: Path) -> Path:
        """Write the page, and return its path; raises SettingsError where no two systems developed one dark raw."""
        if not self.questions:
            raise SettingsError(FEW)
        # Encoded, so that whoever reads the source does not see by accident what is what.
        told = b64encode(json.dumps({"questions": self.questions, "csv": CSV}).encode()).decode()
        pictures = json.dumps(self.pictures)
        path = folder / "index.html"
        page.write(
            path, "Which looks better?", [BODY, f"<script>const TOLD='{told}',PICTURES={pictures};{SCRIPT}</script>"]
        )
        return path


BODY = """
<style>#pair{display:flex;gap:1rem;justify-content:center}#pair img{max-width:49%;image-rendering:pixelated}
#done:not(.shown),.shown~#ask{display:none}</style>
<div id="done"><div id="result"></div><p>Saved as <a id="save">CSV</a>; press s to save it again, Backspace to go back.
</p></div>
<div id="ask"><p id="told">&larr; left is better, &rarr; right is better, &darr; no difference, Backspace takes the last
answer back, Escape ends here. <span id="count"></span></p>
<div id="pair"><img id="left" alt="left"><img id="right" alt="right"></div></div>
"""

SCRIPT = """
const told=JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(TOLD),c=>c.charCodeAt(0))));
const by=id=>document.getElementById(id);
const drawn=n=>{const a=new Uint32Array(1);crypto.getRandomValues(a);return a[0]%n};
const asked=told.questions.map(q=>({...q,turned:drawn(2)===1}));
for(let i=asked.length-1;i>0;i--){const j=drawn(i+1);[asked[i],asked[j]]=[asked[j],asked[i]]}
const answers=[];let ended=false;
const cell=text=>{const td=document.createElement('td');td.textContent=text;return td};
function show(){
  ended=ended||answers.length===asked.length;
  by('done').classList.toggle('shown',ended);
  if(ended){finish();return}
  const q=asked[answers.length];
  by('left').src=PICTURES[q.turned?q.b:q.a];by('right').src=PICTURES[q.turned?q.a:q.b];
  by('count').textContent=`${answers.length+1} of ${asked.length}`;
}
function interval(won,n){
  const z=1.959964,p=won/n,d=1+z*z/n,m=(p+z*z/(2*n))/d,r=z*Math.sqrt(p*(1-p)/n+z*z/(4*n*n))/d;
  return [Math.max(0,m-r),Math.min(1,m+r)];
}
function quoted(text){return /[",\\n]/.test(text)?`"${String(text).replaceAll('"','""')}"`:text}
function csv(){
  const rows=answers.map((side,i)=>{
    const q=asked[i],[l,r]=q.turned?[q.second,q.first]:[q.first,q.second];
    return [q.photo,q.ratio,q.camera,l,r,side==='left'?l:side==='right'?r:''].map(quoted).join(',');
  });
  return ['photo,ratio,camera,left,right,better',...rows].join('\\n')+'\\n';
}
function finish(){
  const sums=new Map();
  answers.forEach((side,i)=>{
    const q=asked[i],key=JSON.stringify([q.first,q.second]);
    const sum=sums.get(key)||{first:0,second:0,same:0};sums.set(key,sum);
    if(side==='same')sum.same++;else sum[(side==='left')!==q.turned?'first':'second']++;
  });
  const table=document.createElement('table'),head=table.createTHead().insertRow(),body=table.createTBody();
  for(const name of ['better','than','wins','losses','no difference','share of wins','95 % interval']){
    const th=document.createElement('th');th.textContent=name;head.append(th)}
  for(const [key,sum] of sums){
    const [a,b]=JSON.parse(key),ahead=sum.first>=sum.second;
    const won=ahead?sum.first:sum.second,lost=ahead?sum.second:sum.first,n=won+lost,row=body.insertRow();
    const [low,high]=n?interval(won,n):[0,1],percent=x=>`${(100*x).toFixed(0)} %`;
    for(const text of [ahead?a:b,ahead?b:a,won,lost,sum.same,n?percent(won/n):'',`${percent(low)} to ${percent(high)}`])
      row.append(cell(text));
  }
  by('result').replaceChildren(table);
  by('save').href=URL.createObjectURL(new Blob([csv()],{type:'text/csv'}));by('save').download=told.csv;
}
document.addEventListener('keydown',event=>{
  const side={ArrowLeft:'left',ArrowRight:'right',ArrowDown:'same'}[event.key];
  if(ended&&event.key==='s'){by('save').click();return}
  if(event.key==='Backspace'&&answers.length){
    if(answers.length===asked.length||!ended)answers.pop();
    ended=false;show();event.preventDefault();return}
  if(ended)return;
  if(event.key==='Escape')ended=true;else if(side)answers.push(side);else return;
  event.preventDefault();show();
  if(ended)by('save').click();
});
show();
"""
