// HTML as values: everything put into a template is escaped, unless it is HTML already.

/** A piece of HTML. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Content = Html | string | number | undefined | readonly Content[];

/** Text to HTML; quotes too, so that it may stand in an attribute. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/**
 * A template: html`<td>${text}</td>`. Strings and numbers are escaped, undefined is nothing, the items of a list stand
 * on lines of their own.
 */
export function html(parts: TemplateStringsArray, ...values: Content[]): Html {
  return new Html(parts.map((part, i) => part + (i < values.length ? textOf(values[i]) : "")).join(""));
}

function textOf(value: Content): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.text;
  return typeof value === "object" ? value.map(textOf).join("\n") : escapeHtml(String(value));
}

/** A table of `head` and `rows`, in a box that scrolls when it is wider than the page. */
export function table(head: Content, rows: readonly Content[], kind = ""): Html {
  return html`<div class="scroll"><table class="${kind}"><thead>${head}</thead><tbody>
${rows}</tbody></table></div>`;
}

/** Rows of a name and what it is. */
export function facts(rows: readonly (readonly [name: string, value: Content])[]): Html {
  return html`<dl>${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** A number that a program can read exactly and a person easily; a dash where there is none. */
export function number(value: number | null | undefined, digits: number, sign = false): Html {
  if (typeof value !== "number" || !Number.isFinite(value)) return html`<data value="">–</data>`;
  const text = value.toFixed(digits);
  return html`<data value="${value}">${sign && value > 0 && Number(text) !== 0 ? `+${text}` : text}</data>`;
}

/** A length of time for people. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
