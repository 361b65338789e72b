"""The style sheet of a report. Nothing is loaded from anywhere."""

from __future__ import annotations

from .page_samples import ZOOMS

_MOST_VERSIONS = 5

_SHEET = """
:root{color-scheme:light dark;--paper:#fff;--panel:#f5f6f8;--ink:#1a1e25;--muted:#5b6472;--rule:#d8dce2;
--accent:#0b62c4;--on-accent:#fff;--warn:#8a4b00;--warn-paper:#fff4e0;--warn-rule:#e8b867;
--line-1:#0b62c4;--line-2:#b3420a;--line-3:#1d7a3a;--line-4:#7a3fb0}
@media (prefers-color-scheme:dark){:root{--paper:#14171c;--panel:#1d2128;--ink:#e8eaee;--muted:#a0a8b4;--rule:#343a45;
--accent:#6db0ff;--on-accent:#0b1420;--warn:#ffc46b;--warn-paper:#2c2210;--warn-rule:#7a5a1e;
--line-1:#6db0ff;--line-2:#ff9d66;--line-3:#6fd08c;--line-4:#c9a0f5}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:24px 20px 64px;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:40px 0 12px}
h3{font-size:1rem;margin:0;flex-basis:100%;overflow-wrap:anywhere}
small{font-weight:400;color:var(--muted);font-size:.85rem}
header{display:flex;flex-wrap:wrap;gap:4px 14px;align-items:center}
nav{margin:16px 0 0;font-size:.9rem;display:flex;flex-wrap:wrap;gap:4px 18px}
a{color:var(--accent)}
.state{border-radius:99px;padding:1px 12px;border:1px solid var(--rule);background:var(--panel);font-size:.9rem}
.state.running{background:var(--accent);border-color:var(--accent);color:var(--on-accent)}
progress{width:100%;height:8px;margin:14px 0 0;accent-color:var(--accent);border:0;border-radius:4px;overflow:hidden;
background:var(--rule);display:block;appearance:none;-webkit-appearance:none}
progress::-webkit-progress-bar{background:var(--rule)}
progress::-webkit-progress-value{background:var(--accent)}
progress::-moz-progress-bar{background:var(--accent)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(210px,1fr));gap:12px 24px;margin:18px 0 0}
dt{color:var(--muted);font-size:.85rem}
dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.warnings{background:var(--warn-paper);border:1px solid var(--warn-rule);border-radius:10px;padding:12px 18px;
margin:24px 0 0}
.warnings h2{margin:0;font-size:1rem;color:var(--warn)}
.warnings ul{margin:4px 0 0;padding-left:20px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:16px}
.chart{margin:0;padding:12px 12px 8px;background:var(--panel);border-radius:10px}
.chart svg:not(.swatch){display:block;width:100%;height:auto;margin-top:6px}
.chart figcaption{display:flex;flex-wrap:wrap;gap:0 14px;font-size:.9rem}
.key{color:var(--muted);white-space:nowrap;font-variant-numeric:tabular-nums}
.swatch{width:24px;height:8px;margin-right:5px;vertical-align:middle}
.nothing{color:var(--muted);margin:8px 0}
.sample{display:flex;flex-wrap:wrap;gap:6px;align-items:center;margin:0 0 32px}
.sample input{position:absolute;opacity:0;pointer-events:none}
.button{border:1px solid var(--rule);background:var(--panel);border-radius:8px;padding:2px 10px;font-size:.9rem;
cursor:pointer;min-height:32px;display:inline-flex;align-items:center}
.button:hover{border-color:var(--accent)}
input:checked+.button{background:var(--accent);border-color:var(--accent);color:var(--on-accent)}
input:focus-visible+.button,.stage:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:3px solid
var(--accent);outline-offset:2px}
.gap{width:12px}
.stage{flex:1 0 100%;min-width:0;display:grid;grid-template-columns:repeat(auto-fit,minmax(0,1fr));
grid-auto-flow:column;gap:8px;overflow:auto;border-radius:6px}
.cell{margin:0;min-width:0}
.cell label{display:block;cursor:zoom-in}
.cell img{display:block;width:100%;aspect-ratio:var(--ratio);height:auto;border-radius:4px;background:var(--rule)}
.c0 img{image-rendering:pixelated}
.cell figcaption{font-size:.85rem;color:var(--muted);font-variant-numeric:tabular-nums}
.cell b{color:var(--ink)}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:3px 14px 3px 0;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
.scroll{overflow-x:auto}
summary{cursor:pointer;padding:4px 0}
footer{margin-top:48px;color:var(--muted);font-size:.85rem}
@media (max-width:640px){body{padding:16px 12px 48px}.stage{grid-auto-flow:row;grid-template-columns:1fr 1fr}
.gap{flex-basis:100%;width:0}.button{min-height:40px}dl{grid-template-columns:1fr 1fr}}
@media print{.sample input,.button{display:none}body{max-width:none}}
"""


def style() -> str:
    """All rules, with those that show one version of a sample in the size that was chosen."""
    alone = [f".v{version}:checked" for version in range(_MOST_VERSIONS)]
    rules = [
        ".all:checked~input[class^=z],.all:checked~input[class^=z]+.button,.all:checked~.gap{display:none}",
        f"{','.join(f'{one}~.stage' for one in alone)}{{display:block;max-height:85vh}}",
        f"{','.join(f'{one}~.stage .cell' for one in alone)}{{display:none}}",
        f"{','.join(f'.v{n}:checked~.stage .c{n}' for n in range(_MOST_VERSIONS))}{{display:block}}",
        f"{','.join(f'{one}~.stage label' for one in alone)}{{cursor:default}}",
        f"{','.join(f'{one}~.stage figcaption' for one in alone)}{{position:sticky;left:0;width:max-content}}",
    ]
    for zoom in ZOOMS:
        places = ",".join(f"{one}~.z{zoom}:checked~.stage img" for one in alone)
        rules.append(f"{places}{{width:calc(var(--w)*{zoom});border-radius:0;image-rendering:pixelated}}")
    return _SHEET + "\n".join(rules)
