"""The style and the script of the pages of ``hvdsm bench``: both stand in the page itself, which loads nothing."""

from __future__ import annotations

# Contrast of text is 4.5:1 at least, of lines 3:1, in both schemes.
STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --card: #f6f7f9; --ink: #1b1f24; --soft: #545d68; --rule: #d5d9df;
  --median: #0b5cad; --best: #00775a; --worst: #8a4b00; --slow: #b3125f; --level: #545d68; --alert: #fdeef5; --fine: #e9f5ef;
  --second: #00775a; --third: #8a4b00; --missing: #e6e8ec; }
@media (prefers-color-scheme: dark) { :root { --page: #14171c; --card: #1c2027; --ink: #e8eaed; --soft: #a8b0bb; --rule: #3a414b;
  --median: #6db3ff; --best: #46cfa3; --worst: #f2a65a; --slow: #ff85bd; --level: #a8b0bb; --alert: #3a1a2a; --fine: #17302a;
  --second: #46cfa3; --third: #f2a65a; --missing: #2a3038; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 80rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
p { margin: .4rem 0; max-width: 60rem; }
.soft, figcaption, .readout { color: var(--soft); font-size: .9rem; }
.verdict {
  border-left: .4rem solid var(--best); background: var(--fine); padding: .8rem 1.1rem;
  margin: 1.25rem 0; border-radius: .25rem; }
.verdict.slow { border-color: var(--slow); background: var(--alert); }
.verdict p { max-width: none; } .verdict p:first-child { font-size: 1.15rem; font-weight: 600; }
.tiles { display: grid; list-style: none;
  grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem; margin: 1.25rem 0; padding: 0; }
.tiles li { background: var(--card); border-radius: .4rem; padding: .7rem .9rem; }
.tiles span { display: block; } .tiles span:first-child::first-letter { text-transform: uppercase; }
.tiles strong { display: block; font-size: 1.35rem; line-height: 1.3; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem; margin: 0; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; }
caption { text-align: left; padding-bottom: .3rem; }
.facts + .figures { margin-top: 1.25rem; } .figures + details { margin-top: 1rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.5rem; }
.figures.broad { grid-template-columns: repeat(auto-fit, minmax(min(100%, 36rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figure h3 { font-size: 1rem; margin: 0 0 .3rem; }
.scroll { overflow-x: auto; }
svg.picture { display: block; max-width: 100%; height: auto; }
svg.heat { min-width: 20rem; } .wide svg.heat { min-width: 36rem; }
svg text { font: 13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .tick, svg .axis { fill: var(--soft); } svg .host { font-size: 12px; } svg .marked { fill: var(--slow); font-weight: 700; }
svg .number { font-size: 12px; fill: #000000; } svg .number.light { fill: #ffffff; }
.grid { stroke: var(--rule); stroke-width: 1; } .base { stroke: var(--soft); stroke-width: 1; }
.self { fill: none; } .missing { fill: var(--missing); }
.outline { fill: none; stroke: var(--slow); stroke-width: 2; pointer-events: none; }
.stroke { fill: none; stroke-width: 2; stroke-linejoin: round; } .dot { stroke: var(--page); stroke-width: 1; }
.median .stroke { stroke: var(--median); stroke-width: 2.5; } .median .dot { fill: var(--median); }
.best .stroke { stroke: var(--best); stroke-dasharray: 7 4; } .best .dot { fill: var(--best); }
.worst .stroke { stroke: var(--worst); stroke-dasharray: 2 3; } .worst .dot { fill: var(--worst); }
.slowly .stroke { stroke: var(--slow); stroke-width: 1.5; } .slowly .dot { fill: var(--slow); }
.second .stroke { stroke: var(--second); stroke-dasharray: 7 4; } .second .dot { fill: var(--second); }
.third .stroke { stroke: var(--third); stroke-dasharray: 2 3; } .third .dot { fill: var(--third); }
.level .stroke { stroke: var(--level); stroke-width: 1.5; stroke-dasharray: 10 3 2 3; }
.band { fill: var(--median); opacity: .16; } .band.second { fill: var(--second); }
.legend { list-style: none; margin: .3rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; font-size: .9rem; }
.swatch { margin-right: .4rem; vertical-align: middle; }
.readout { min-height: 1.5em; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child, th.words, td.words { text-align: left; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
th button {
  font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; text-decoration: underline dotted; }
tr.slow td { color: var(--slow); font-weight: 600; }
summary { cursor: pointer; margin: .5rem 0; }
button.file {
  font: inherit; padding: .35rem .9rem; border: 1px solid var(--soft); border-radius: .3rem;
  background: var(--card); color: var(--ink); cursor: pointer; }
:focus-visible { outline: 3px solid var(--median); outline-offset: 2px; }
@media (max-width: 40rem) {
  body { padding: 1rem .8rem 2rem; } .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: .4rem; } }
@media print { :root { color-scheme: light; --page: #ffffff; --card: #ffffff; --ink: #000000; --soft: #444444; --rule: #cccccc;
  --median: #0b5cad; --best: #00775a; --worst: #8a4b00; --slow: #b3125f; --level: #444444; --alert: #ffffff; --fine: #ffffff;
  --second: #00775a; --third: #8a4b00; --missing: #eeeeee; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } body { padding: 0; max-width: none; }
  figure, tr { break-inside: avoid; } h2 { break-after: avoid; } .readout, .file { display: none; }
  details::details-content { content-visibility: visible; display: block; } .scroll { overflow: visible; } }
"""

# Nothing that the page says needs it: it shows values at once when they are pointed at, sorts tables and saves the data.
SCRIPT = """
'use strict';
for (const figure of document.querySelectorAll('figure')) {
  const line = figure.querySelector('.readout');
  if (!line) continue;
  const usual = line.textContent = 'Point at the picture to read values.';
  figure.addEventListener('pointerover', event => {
    const named = event.target.closest('circle, rect, path');
    const title = named && named.querySelector('title');
    line.textContent = title ? title.textContent : usual;
  });
}
for (const table of document.querySelectorAll('table.sorted')) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      const value = row => row.cells[column].dataset.value;
      const order = (a, b) => {
        const one = value(a), other = value(b);
        if (one === undefined || other === undefined) return (one === undefined) - (other === undefined);
        const least = isNaN(one) || isNaN(other) ? one.localeCompare(other, undefined, {numeric: true}) : one - other;
        return up ? least : -least;
      };
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  });
}
for (const button of document.querySelectorAll('button.file')) {
  button.hidden = false;
  button.addEventListener('click', () => {
    const text = document.getElementById(button.dataset.from).textContent;
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
    link.download = button.dataset.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
"""
