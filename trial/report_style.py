"""The style sheet of the report: light, dark, narrow, print. Colours keep 4.5:1 against their ground."""

STYLE = """
:root{--ground:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d0d7de;--card:#f6f8fa;--good:#116329;--good-ground:#dafbe1;
--bad:#a40e26;--bad-ground:#ffebe9;--line:#0550ae;--output:#7d4e00}
@media (prefers-color-scheme:dark){:root{--ground:#0d1117;--ink:#e6edf3;--soft:#9aa5b1;--rule:#30363d;--card:#161b22;
--good:#56d364;--good-ground:#12261e;--bad:#ff9a92;--bad-ground:#2d1416;--line:#79c0ff;--output:#e3b341}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans CJK SC","Microsoft YaHei",sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.5rem;line-height:1.3;margin:.2rem 0 1rem}
h2{font-size:1.1rem;margin:2rem 0 .6rem;border-bottom:1px solid var(--rule);padding-bottom:.25rem}
.kicker{color:var(--soft);margin:0}
.verdict{display:inline-block;font-size:1.5rem;font-weight:700;letter-spacing:.06em;margin:0 0 1rem;
padding:.3rem 1.2rem;
border:2px solid;border-radius:.4rem}
.verdict.pass{color:var(--good);background:var(--good-ground)}
.verdict.fail{color:var(--bad);background:var(--bad-ground)}
.warn{color:var(--bad);background:var(--bad-ground);padding:.6rem .8rem;border-radius:.4rem}
dl{margin:0}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem}
.facts div{background:var(--card);border-radius:.4rem;padding:.5rem .7rem}
dt{color:var(--soft);font-size:.85rem}
dd{margin:0;font-weight:600;overflow-wrap:anywhere}
.hashes div{display:grid;grid-template-columns:12rem 1fr;gap:.5rem;padding:.2rem 0}
.hashes dd{font-weight:400}
code{font:12px/1.4 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .5rem;border-bottom:1px solid var(--rule);
overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600;white-space:nowrap}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.short{white-space:nowrap}
td.state{font-weight:700;white-space:nowrap}
td.ok{color:var(--good)}td.no{color:var(--bad)}
.field{display:inline-block;margin-right:.6rem}.field b{color:var(--soft);font-weight:500}
figure{margin:0 0 1rem}
figcaption{font-size:.9rem;font-weight:600;margin-bottom:.2rem;overflow-wrap:anywhere}
svg.plot{display:block;width:100%;height:auto;background:var(--card);border-radius:.4rem}
.plot text{font:11px system-ui,"Noto Sans CJK SC",sans-serif;fill:var(--soft)}
.plot .grid{stroke:var(--rule);stroke-width:1}
.plot .line{fill:none;stroke:var(--line);stroke-width:1.8;stroke-linejoin:round}
.plot line.mark{stroke-width:1.4;stroke-dasharray:4 3}
.plot line.alarm{stroke:var(--bad)}.plot text.alarm{fill:var(--bad)}
.plot line.output{stroke:var(--output);stroke-dasharray:2 2}.plot text.output{fill:var(--output)}
.notice{color:var(--soft);font-size:.85rem}
.signs{display:grid;grid-template-columns:repeat(auto-fit,minmax(16rem,1fr));gap:2rem;margin-top:2.5rem}
.fill{display:inline-block;min-width:11rem;border-bottom:1px solid var(--ink);min-height:1.6em}
.fill.wide{min-width:70%}
@media (max-width:40rem){
body{font-size:14px}
.hashes div{grid-template-columns:1fr;gap:0}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
tr{display:block;border-bottom:1px solid var(--rule);padding:.4rem 0}
td{display:grid;grid-template-columns:5.5rem 1fr;border:0;padding:.1rem 0;text-align:left!important}
td::before{content:attr(data-name);color:var(--soft);font-weight:400}
td.number,td.state,td.short{white-space:normal}
td:empty{display:none}
svg.plot{min-width:34rem}figure{overflow-x:auto}
}
@media print{
:root{--ground:#fff;--ink:#000;--soft:#444;--rule:#bbb;--card:#fff;--good:#0a4d1f;--good-ground:#fff;--bad:#8c0a1e;
--bad-ground:#fff;--line:#003d82;--output:#5c3900}
@page{size:A4;margin:16mm 14mm}
main{max-width:none;padding:0}
body{font-size:10pt}
figure,tr,.sign,header,footer{break-inside:avoid}
h2{break-after:avoid}
thead{display:table-header-group}
svg.plot{border:1px solid var(--rule)}
}
"""
