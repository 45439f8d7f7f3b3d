// The API reference: one Markdown page per area, and an index.
import { areas } from "./areas.ts";
import { isType, section } from "./markdown.ts";
import { declaredName, type Entry } from "./names.ts";

const NOTE = "Generated from the docstrings by `npm run docs:api`; do not edit.";

const slug = (name: string): string => name.toLowerCase().replace(/[^\w-]/g, "");

/** What the headings of a page are called in links: of equal ones, as `tensor` and `Tensor` are, later ones get a number. */
function anchorsOf(names: readonly string[]): Map<string, string> {
  const slugs = names.map(slug);
  const number = (i: number): number => slugs.slice(0, i).filter((other) => other === slugs[i]).length;
  return new Map(names.map((name, i) => [name, number(i) === 0 ? slugs[i] : `${slugs[i]}-${number(i)}`]));
}

function pageOf({ file, name }: Entry): string {
  const area = areas.find(({ files }) => files.test(file));
  if (!area) throw new Error(`${name} of src/${file} belongs to no page; name its file in scripts/api/areas.ts`);
  return area.page;
}

/** Functions, classes and constants first, then types, both by name. */
function inOrder(a: Entry, b: Entry): number {
  const key = ({ name, declaration }: Entry): string => `${isType(declaration) ? 1 : 0} ${name.toLowerCase()} ${name}`;
  return key(a) < key(b) ? -1 : 1;
}

/** The pages of `entries` by their file name in docs/api. Throws for a public name that belongs to none. */
export function apiPages(entries: readonly Entry[]): Map<string, string> {
  const onPage = (file: string): Entry[] => entries.filter((entry) => pageOf(entry) === file).sort(inOrder);
  const anchors = new Map(areas.map(({ page }) => [page, anchorsOf(onPage(page).map(({ name }) => name))]));

  const page = (file: string): string => {
    const { title, about } = areas.find((area) => area.page === file)!;
    const own = onPage(file);
    const anchor = (name: string): string => anchors.get(file)!.get(name)!;
    const linkTo = (type: string): string | null => {
      const called = entries.filter(({ name }) => name.split(".").at(-1) === type);
      const entry = called.find((e) => pageOf(e) === file) ?? called[0]; // "." and "./kits" share a few names
      if (!entry) return null;
      const page = pageOf(entry);
      return `${page === file ? "" : page}#${anchors.get(page)!.get(entry.name)!}`;
    };
    const names = own.map(({ name }) => `[${name}](#${anchor(name)})`).join(" · ");
    const sections = own.map((entry) => {
      const original = own.find((e) => e.declaration === entry.declaration && e.name.endsWith(declaredName(e)));
      if (!original || original === entry) return section(entry, linkTo);
      return `## ${entry.name}\n\nAnother name of [${original.name}](#${anchor(original.name)}).`;
    });
    return `${[`# ${title}`, `${about} ${NOTE}`, names, ...sections].join("\n\n")}\n`;
  };

  const rows = areas.map(({ page, title, about }) => `| [${title}](${page}) | ${about} | ${onPage(page).length} |`);
  const index = ["# API reference", NOTE, ["| page | | names |", "| --- | --- | ---: |", ...rows].join("\n")];
  return new Map([
    ...areas.map(({ page: file }): [string, string] => [file, page(file)]),
    ["README.md", `${index.join("\n\n")}\n`],
  ]);
}
