// The report's look: inline, for light and dark screens, phones and paper.

export const style = `
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5a646e; --page: #fff; --card: #f5f7f9; --line: #d8dee4;
  --accent: #2b6cb0; --warn: #fff6df; --warn-line: #d99a1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e6ea; --soft: #9aa5b0; --page: #14171b; --card: #1c2127;
  --line: #343b43; --accent: #7ab3ea; --warn: #2c2613; --warn-line: #b98a2a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 16px 60px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 44px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 26px 0 6px; }
h3.group { font-size: 16.5px; }
p { margin: 6px 0 10px; max-width: 82ch; overflow-wrap: anywhere; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .92em; overflow-wrap: anywhere; }
.sub, .read, .note { color: var(--soft); }
.read, .note { font-size: 13.5px; }
.read b { font-weight: 600; color: var(--ink); }
nav { font-size: 13.5px; margin: 12px 0 18px; display: flex; flex-wrap: wrap; gap: 2px 16px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.data { background: var(--warn); border-left: 4px solid var(--warn-line); padding: 10px 16px 8px; border-radius: 4px;
  margin: 16px 0; }
.data p, .data li { max-width: none; }
.data ul { margin: 4px 0 6px; padding-left: 20px; }
dl { margin: 8px 0; display: grid; gap: 0 28px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); }
dl > div { display: flex; justify-content: space-between; gap: 14px; padding: 3px 0;
  border-bottom: 1px solid var(--line); }
dt { color: var(--soft); flex: none; max-width: 72%; overflow-wrap: anywhere; }
dd { margin: 0; text-align: right; overflow-wrap: anywhere; min-width: 0; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13.5px; }
th, td { padding: 4px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; }
thead th { border-bottom-color: var(--soft); }
th.name, td.name { text-align: left; }
tbody th { vertical-align: top; }
table.dense th, table.dense td { padding: 3px 7px; }
td.long { white-space: normal; min-width: 190px; }
th.group { text-align: center; border-bottom-color: var(--line); }
.first { border-left: 1px solid var(--line); }
tr.open > :not([rowspan]) { border-bottom-color: transparent; }
.other { color: var(--soft); }
.small { color: var(--soft); font-size: .88em; font-weight: normal; }
.best { font-weight: 700; }
.plots { display: flex; flex-wrap: wrap; gap: 14px 18px; margin: 10px 0; }
.plots svg { max-width: 100%; height: auto; display: block; font-family: inherit; }
.case { margin: 20px 0 26px; break-inside: avoid; }
.case h3 { margin-bottom: 0; }
.slice { font-size: 13.5px; color: var(--soft); margin: 8px 0 4px; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(0, 1fr)); grid-auto-flow: column; gap: 4px; }
.panels figure { margin: 0; min-width: 0; }
.panels figcaption { font-size: 12px; color: var(--soft); padding-bottom: 2px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.panel { aspect-ratio: 4 / 3; background: #000 var(--ct) center / contain no-repeat; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
.panel img { display: block; width: 100%; height: 100%; object-fit: contain; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; font-size: 13.5px; align-items: center; margin: 8px 0; }
.legend span { display: inline-flex; align-items: center; gap: 6px; }
.legend i { width: 14px; height: 14px; border-radius: 3px; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
.legend i.ramp { width: 120px; }
ul.warnings { padding-left: 20px; margin: 6px 0; }
ul.warnings li { overflow-wrap: anywhere; margin: 2px 0; }
@media (max-width: 640px) {
  body { font-size: 14.5px; }
  .panels { grid-auto-flow: row; grid-template-columns: 1fr 1fr; }
  th, td { padding: 3px 6px; }
}
@media print {
  :root { --ink: #000; --soft: #444; --page: #fff; --line: #bbb; --warn: #fff; --accent: #000; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  tr, .plots svg { break-inside: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  th, td { padding: 2px 5px; }
  table.dense { font-size: 7pt; }
  table.dense th, table.dense td { padding: 2px 3px; }
  .plots { gap: 8px; }
  .plots > div { width: calc(50% - 4px); }
}
`;
