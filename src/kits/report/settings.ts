// The settings of a run as tables. Their names are not known here: whatever run.json holds is shown.

import { facts, html, table, type Html } from "./html.ts";

type Plain = Record<string, unknown>;

/**
 * Settings as they are in run.json. Groups that have names in common, such as those of the stages, become columns of
 * one table; all others are listed by path: "augment.rotate".
 */
export function settingsTables(options: unknown): Html {
  const groups = Object.entries(isPlain(options) ? options : {});
  const alike = groups.filter(([, group]) => groups.filter(([, other]) => shareNames(group, other)).length > 1);
  const names = new Set(alike.map(([name]) => name));
  const rest = groups.filter(([name]) => !names.has(name)).flatMap(([name, value]) => flatten(value, name));
  return html`${rest.length > 0 ? facts(rest) : ""}${alike.length > 0 ? sideBySide(alike) : ""}`;
}

function sideBySide(groups: readonly (readonly [name: string, group: unknown])[]): Html {
  const columns = groups.map(([, group]) => new Map(flatten(group, "")));
  const rows = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  return table(
    html`<tr><th class="name">setting</th>${groups.map(([name]) => html`<th>${name}</th>`)}</tr>`,
    rows.map(
      (row) =>
        html`<tr><td class="name">${row}</td>${columns.map((column) => html`<td>${column.get(row) ?? ""}</td>`)}</tr>`,
    ),
  );
}

/** Two groups are of a kind if they share three names or more. */
function shareNames(a: unknown, b: unknown): boolean {
  return isPlain(a) && isPlain(b) && Object.keys(a).filter((name) => Object.hasOwn(b, name)).length >= 3;
}

/** Path and text of every value in it. */
export function flatten(value: unknown, path: string): [path: string, text: string][] {
  if (isPlain(value)) {
    return Object.entries(value).flatMap(([name, inner]) => flatten(inner, path === "" ? name : `${path}.${name}`));
  }
  if (Array.isArray(value)) return [[path, value.map((v) => (isPlain(v) ? JSON.stringify(v) : String(v))).join(", ")]];
  return [[path, value === true ? "yes" : value === false ? "no" : String(value)]];
}

function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
