"""The page's style sheet: system fonts, light and dark, phone, desktop and paper. Nothing is fetched."""

from __future__ import annotations

# Each colour of text has a contrast of 4.5 or more on each ground of its scheme; a test computes it.
LIGHT = {"ground": "#f4f5f7", "card": "#ffffff", "text": "#1c2126", "less": "#58616b", "rule": "#dfe3e8",
         "track": "#e8ebef", "ok": "#19703a", "warning": "#8a5200", "critical": "#b3261e",
         "fill": "#3f8f63", "fill-warning": "#c98a1b", "fill-critical": "#c9473f", "accent": "#3b5b92"}
DARK = {"ground": "#101316", "card": "#191d21", "text": "#e4e7ea", "less": "#a3acb5", "rule": "#2c3238",
        "track": "#2a3036", "ok": "#79cf97", "warning": "#f0b85f", "critical": "#ff938a",
        "fill": "#4c9f72", "fill-warning": "#c9912f", "fill-critical": "#d65f57", "accent": "#9db8e8"}
GROUNDS = ("ground", "card")
INKS = ("text", "less", "ok", "warning", "critical", "accent")


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--text);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
"Liberation Sans","DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main,header,footer{max-width:1080px;margin:0 auto;padding:0 32px}
header{padding-top:48px;padding-bottom:8px}
footer{padding-top:8px;padding-bottom:56px;color:var(--less);font-size:14px}
h1{font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.015em;margin:0}
h2{font-size:19px;line-height:1.3;font-weight:650;letter-spacing:-.005em;margin:0 0 4px}
h3{font-size:16px;font-weight:600;margin:0}
p{margin:0}
.eyebrow,.less{color:var(--less)}
.eyebrow{font-size:14px;margin-bottom:6px}
.state{display:inline-flex;align-items:center;gap:9px;margin-top:16px;font-weight:600}
.mark{flex:none;display:inline-grid;place-items:center;width:22px;height:22px;border-radius:50%;color:var(--card);font-size:13px;
line-height:1;font-weight:700;background:var(--ok)}
.warning .mark{background:var(--warning)}.critical .mark{background:var(--critical)}
.ok .word{color:var(--ok)}.warning .word{color:var(--warning)}.critical .word{color:var(--critical)}
section{background:var(--card);border:1px solid var(--rule);border-radius:12px;padding:26px 28px 28px;margin:20px 0}
section>.less{margin-bottom:18px;font-size:15px}
dl.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:1px;background:var(--rule);border:1px solid var(--rule);
border-radius:12px;overflow:hidden;margin:28px 0 20px}
dl.facts div{background:var(--card);padding:16px 20px 18px}
dt{color:var(--less);font-size:14px}
dd{margin:0}
dl.facts dd{font-size:17px;line-height:1.35;font-weight:600;margin-top:2px}
dl.facts dd+dd{font-size:14px;font-weight:400;color:var(--less)}
ul,ol{list-style:none;margin:0;padding:0}
.findings>li{padding:18px 0 18px 36px;border-top:1px solid var(--rule);position:relative}
.findings>li:first-child{border-top:0;padding-top:8px}
.findings>li:last-child{padding-bottom:0}
.findings .mark{position:absolute;left:0;margin-top:2px}
.findings p{margin-top:4px}
.findings .less{font-size:15px}
table{width:100%;border-collapse:collapse;font-size:15px}
th,td{text-align:left;vertical-align:top;padding:11px 20px 11px 0;border-top:1px solid var(--rule);font-weight:400}
th:last-child,td:last-child{padding-right:0}
thead th{border-top:0;padding-top:0;color:var(--less);font-size:14px;vertical-align:bottom}
tbody th{font-weight:600}
tbody th small,td small{display:block;font-weight:400;font-size:14px;color:var(--less)}
th,td{overflow-wrap:break-word}
tbody th{overflow-wrap:anywhere}
.date{white-space:nowrap}
.lineages thead th:nth-child(1){width:25%}.lineages thead th:nth-child(2){width:34%}
.lineages thead th:nth-child(3){width:8%}.lineages thead th:nth-child(5){width:13%}
.runs thead th:nth-child(1){width:19%}.runs thead th:nth-child(2){width:25%}.runs thead th:nth-child(3){width:30%}
.end{display:flex;flex-wrap:wrap;justify-content:space-between;column-gap:16px}
.bar{display:block;width:100%;height:10px;margin:7px 0 5px;overflow:visible}
.bar .track{fill:var(--track)}.bar .fill{fill:var(--fill)}.bar .due{stroke:var(--text);stroke-width:2}
.bar.warning .fill{fill:var(--fill-warning)}.bar.critical .fill{fill:var(--fill-critical)}
.bar .gone{fill:none;stroke:var(--fill-critical);stroke-width:2;stroke-dasharray:4 3}
.scale{display:block;width:100%;height:15px;margin-top:4px;overflow:visible}
.scale text{fill:var(--less);font-size:12px}
.days{display:grid;grid-template-columns:repeat(90,1fr);gap:2px;margin:4px 0 6px}
.days li{display:block}
.days svg{display:block;width:100%;height:64px}
.none{fill:var(--track)}.run{fill:var(--fill)}.failed{fill:var(--fill-critical)}.gap{fill:var(--accent)}
.cross{stroke:var(--card);stroke-width:2}
.key .none{fill:var(--track);stroke:var(--less);stroke-width:1}
.ends{display:flex;justify-content:space-between;color:var(--less);font-size:14px}
.key{display:flex;flex-wrap:wrap;gap:6px 22px;color:var(--less);font-size:14px;margin:12px 0 22px}
.key li{display:flex;align-items:center;gap:8px}
.key svg{width:12px;height:16px;flex:none}
details{margin-top:18px;border-top:1px solid var(--rule);padding-top:14px}
details details{border:0;margin-top:0}
summary{cursor:pointer;color:var(--accent);font-weight:600;font-size:15px}
summary:focus-visible{outline:2px solid var(--accent);outline-offset:4px;border-radius:4px}
details[open]>summary{margin-bottom:14px}
.hidden{position:absolute;width:1px;height:1px;margin:-1px;padding:0;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media screen and (max-width:900px){dl.facts{grid-template-columns:repeat(2,1fr)}}
@media screen and (max-width:720px){
main,header,footer{padding-left:16px;padding-right:16px}
header{padding-top:28px}
h1{font-size:25px}
section{padding:20px 18px 20px;margin:14px 0;border-radius:10px}
dl.facts{margin:20px 0 14px}
dl.facts div{padding:12px 14px 14px}
dl.facts dd{font-size:16px}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr,th,td{display:block;width:auto!important}
tr{border-top:1px solid var(--rule);padding:14px 0}
tbody tr:first-child{border-top:0;padding-top:0}
tbody tr:last-child{padding-bottom:0}
th,td{border:0;padding:2px 0}
tbody th{font-size:16px;padding-bottom:4px}
td{display:grid;grid-template-columns:112px 1fr;column-gap:12px}
td::before{content:attr(data-label);color:var(--less);font-size:14px}
td>*{grid-column:2}
.lineages td:nth-child(2){display:block}
.lineages td:nth-child(2)::before{content:none}
.days{grid-template-columns:repeat(30,1fr);gap:10px 2px}
.days svg{height:52px}
}
@media print{
:root{PRINT}
body{font-size:11pt}
main,header,footer{max-width:none;padding-left:0;padding-right:0}
section,dl.facts{border-radius:0;border-left:0;border-right:0;padding-left:0;padding-right:0}
tr,.findings>li,.days{break-inside:avoid}
h2{break-after:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
details::details-content{content-visibility:visible;block-size:auto}
summary{color:var(--less)}
}
"""


def sheet() -> str:
    rules = _RULES.replace("PRINT", _variables({**LIGHT, "ground": "#ffffff"}))
    return (f":root{{color-scheme:light dark;{_variables(LIGHT)}}}"
            f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}" + rules.replace("\n", ""))
