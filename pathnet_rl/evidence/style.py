"""How the page looks: dark on light, one column, tables that scroll inside themselves where it is narrow."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1200px; padding: 1.2rem; background: #ffffff; color: #1b1f24;
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .5rem; padding-top: .5rem; border-top: 1px solid #d5dae0; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p, ul, dl { margin: .4rem 0 .8rem; max-width: 52rem; }
ul { padding-left: 1.3rem; }
a { color: #0a58a6; }
nav { font-size: .9rem; }
nav a { margin-right: .9rem; white-space: nowrap; }
.note { color: #49525c; font-size: .9rem; }
.warning { border-left: 4px solid #d55e00; padding-left: .8rem; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: separate; border-spacing: 0; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: left; vertical-align: top; white-space: nowrap;
         border-bottom: 1px solid #e3e7eb; }
th { background: #f3f5f7; font-weight: 600; }
td.number, th.number { text-align: right; }
td small { color: #59636e; }
tr > :first-child { position: sticky; left: 0; background: #ffffff; }
tr > th:first-child { background: #f3f5f7; }
tr.block td { font-weight: 600; padding-top: .9rem; border-bottom-color: #9aa4ae; }
tr.block span { position: sticky; left: .7rem; display: inline-block; max-width: calc(100vw - 3.4rem);
                white-space: normal; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; flex: 0 1 auto; width: 375px; max-width: 100%; }
figure.natural { width: auto; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: .88rem; color: #2b3138; margin-bottom: .2rem; overflow-wrap: anywhere; }
dt { font-weight: 600; }
dd { margin: 0 0 .6rem 1rem; }
code { font: .85rem/1.4 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { overflow-x: auto; background: #f3f5f7; padding: .6rem; margin: .3rem 0 1rem; }
details { margin: .5rem 0 1rem; }
summary { cursor: pointer; color: #0a58a6; }
.breakable { overflow-wrap: anywhere; }
@media (max-width: 600px) { body { padding: .8rem; font-size: 15px; } h1 { font-size: 1.4rem; } }
"""
