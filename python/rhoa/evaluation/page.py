"""The page around the report's sections: one file, light and dark, for screens and paper."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A whole HTML page of sections ``(name, content)``; the first stands above the contents."""
    filled = [(name, content) for name, content in sections if content]
    links = "".join(f'<a href="#{_anchor(name)}">{name}</a>' for name, _ in filled[1:])
    body = "\n".join(
        f'<section id="{_anchor(name)}">{content}</section>'
        + (f'<nav aria-label="Contents">{links}</nav>' if number == 0 else "")
        for number, (name, content) in enumerate(filled)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def numbered(caption: str, body: str) -> str:
    """A figure that the page numbers."""
    return f'<figure class="numbered">{body}<figcaption>{caption}</figcaption></figure>'


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


STYLE = """
:root { --paper: #fdfcf9; --ink: #26241f; --quiet: #6d675c; --rule: #d8d2c5; --wrong: #b3261e;
  --right: #2e7d4f;  --tint: #f4f0e6; --box: #ffb000 }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #1a1916; --ink: #e4dfd4;
  --quiet: #a29b8d; --rule: #45413a; --wrong: #ff8a7e; --right: #63c58b; --tint: #25231f } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); counter-reset: figure;
  font: 1rem/1.5 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, "DejaVu Serif", serif }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1rem 4rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; text-wrap: balance }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .8rem; break-after: avoid }
h3 { font-size: .9rem; margin: .9rem 0 .35rem; font-weight: 600; break-after: avoid }
p { max-width: 46rem } a { color: inherit }
.byline, .note, figcaption, caption { color: var(--quiet); font-size: .85rem }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1.6rem 0 0; padding: .7rem 0;
  border-block: 1px solid var(--rule); font-size: .85rem }
.ci { display: block; color: var(--quiet); font-size: .86em; font-weight: 400 }
.flow { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1.6rem; max-width: 56rem }
.flow > div { position: relative; border: 1px solid var(--rule); border-radius: 3px;
  padding: .6rem .9rem; font-size: .9rem }
.flow > div > b { font-size: 1.35rem; font-weight: 600; margin-right: .2rem }
.flow > div:not(:last-child)::after { content: "\\2192"; position: absolute; right: -1.35rem;
  top: 50%; translate: 0 -50%; color: var(--quiet) }
.flow .out { border-style: dashed; color: var(--quiet) }
.flow ul { margin: .3rem 0 0; padding: 0; list-style: none; font-size: .82rem }
.verdict { border-left: 3px solid var(--right); padding: .1rem 0 .1rem .8rem; font-size: .9rem }
.verdict.bad { border-color: var(--wrong) } .flagged { color: var(--wrong) }
.open { color: var(--wrong) } code { font-size: .88em; overflow-wrap: anywhere }
.note { margin: .45rem 0 } strong, .note strong { color: var(--wrong) }
aside { background: var(--tint); border-left: 3px solid var(--box); padding: .1rem 1rem;
  margin: 1.2rem 0; max-width: 46rem }
figure { margin: 0 } figure.numbered { margin: 1.4rem 0 2rem }
figure.numbered > figcaption { margin-top: .6rem; max-width: 46rem }
figure.numbered > figcaption::before { counter-increment: figure; font-weight: 700;
  content: "Figure " counter(figure) ". " }
.grid { display: grid; gap: .8rem } .grid figcaption { line-height: 1.3;
  font-size: .78rem; margin-top: .2rem }
.grid img, svg { display: block; width: 100%; height: auto }
.gallery { grid-template-columns: repeat(auto-fill, minmax(min(45%, 14rem), 1fr)) }
.crops { grid-template-columns: repeat(8, 1fr); gap: .4rem }
.training { grid-template-columns: repeat(auto-fill, minmax(min(45%, 15rem), 1fr)) }
.curves { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)) }
.curves img { max-width: 26rem; margin: 0 auto }
.occlusions { grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)) }
.failures { grid-template-columns: repeat(auto-fill, minmax(min(45%, 9rem), 1fr)) }
.single img { max-width: 100%; height: auto } .pair.single-crop { grid-template-columns: 1fr }
.pair { position: relative; display: grid; grid-template-columns: 1fr 1fr; gap: 2px }
.pair span { position: absolute; top: 0; padding: .1rem .4rem; background: #000a; color: #fff;
  font-size: .75rem } .pair span:last-child { right: 0 }
.misclassified b { color: var(--wrong) }
svg { background: #000 } svg rect { fill: none; stroke: var(--box); stroke-width: 1.5px;
  vector-effect: non-scaling-stroke } svg text { fill: #fff; font-family: sans-serif }
.table { margin: 1.2rem 0 2rem } caption { text-align: left; padding-bottom: .5rem }
caption b { color: var(--ink) }
table { width: 100%; border-collapse: collapse; font-size: .85rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; border-bottom: 1.5px solid var(--ink) }
th { font-weight: 600 } th, td { padding: .28rem .5rem; text-align: right; vertical-align: bottom }
td { white-space: nowrap } th:first-child { text-align: left; padding-left: 0 }
tbody th { font-weight: 400 } tbody th, tbody td { vertical-align: top }
.words table { font-size: .83rem } .words th, .words td { text-align: left; white-space: normal;
  vertical-align: top; border-top: 1px solid var(--rule) } .words td:first-child { padding-left: 0 }
.words tbody th { white-space: nowrap; font-weight: 600 } .words td + th { white-space: normal;
  font-weight: 400 }
.words thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom }
ul { max-width: 46rem; padding-left: 1.2rem } li { margin: .25rem 0 } .flow li { margin: 0 }
thead th[colspan] { text-align: center }
td:last-child, th:last-child { padding-right: 0 }
thead tr:first-child > * { border-top: 1.5px solid var(--ink) }
thead tr:last-child > * { border-bottom: 1px solid var(--ink) }
.sub th { font-weight: 400; color: var(--quiet); font-size: .78rem }
.set th { padding-top: .8rem; font-weight: 600 } .total > * { border-top: 1px solid var(--rule) }
.set span { font-weight: 400; color: var(--quiet); margin-left: .5rem }
.baseline > * { color: var(--quiet); font-style: italic }
@media print, screen and (max-width: 58rem) { table { font-size: .75rem }
  th, td { padding: .25rem .28rem } }
@media screen and (max-width: 47rem) { table { font-size: .85rem }
  .crops { grid-template-columns: repeat(4, 1fr) }
  table, tbody, tr, caption { display: block } thead { display: none }
  tbody tr { display: grid; padding: .4rem 0;
    border-top: 1px solid var(--rule) }
  tbody tr > *, .total > * { display: flex; justify-content: space-between; gap: .5rem;
    padding: .1rem 0; border: 0 }
  tbody tr > th { grid-column: 1 / -1; font-weight: 600 }
  td { white-space: normal; text-align: right } .ci { display: inline; margin-left: .6rem }
  td::before { margin-right: auto }
  .flow { grid-template-columns: 1fr; gap: 1.7rem }
  .flow > div:not(:last-child)::after { content: "\\2193"; right: auto; left: 50%; top: auto;
    bottom: -1.75rem; translate: -50% 0 }
  .words tbody tr { display: block } .words tbody tr > * { display: block; border: 0 }
  .words td::before { margin: 0 .6rem 0 0 } .words td:empty { display: none }
  tr.set th { display: block; padding-top: .6rem }
  .set span { display: block; margin: 0 }
  td::before { content: attr(data-label); color: var(--quiet) } }
@media print { @page { margin: 15mm } :root { --paper: #fff; font-size: 9.5pt }
  main { padding: 0; max-width: none }
  nav { display: none } .training { grid-template-columns: repeat(5, 1fr) }
  .curves img { max-width: 19rem }
  .occlusions { grid-template-columns: repeat(3, 1fr) }
  .gallery { grid-template-columns: repeat(4, 1fr) }
  figure figure, .table, tr, .crops, .curves { break-inside: avoid }
  figcaption { break-before: avoid } }
"""
