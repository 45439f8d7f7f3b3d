// Where KiTS19, KiTS21 and KiTS23 are published, as data: images of all three at one host, labels in the challenges' repositories.

import { OptionError } from "../../errors.ts";

/** Where one dataset lies, and what of it is fetched. */
export interface Source {
  readonly name: string;
  readonly title: string;
  /** Numbers of the labelled cases, as `--cases` takes them. */
  readonly cases: string;
  /** Numbers of cases of which only the image is published. */
  readonly unlabelled: string;
  /** Pattern of an image's address; see addressOf. */
  readonly images: string;
  /** Folder of the case folders with labels. */
  readonly labels: string;
  readonly labelFile: string;
  /** File beside the case folders with the patients' data, by which a tree is told apart. */
  readonly metadata: string;
  /** Folder of the case folders in a clone of the repository. */
  readonly cloned: readonly string[];
}

/** The organisers' later download scripts take images of every year from here. */
const IMAGES = "https://huggingface.co/datasets/neheller/KiTS-Challenge-Imaging/resolve/main/images/{case}.nii.gz";
const REPOSITORIES = "https://raw.githubusercontent.com/neheller";

export const sources: readonly Source[] = [
  {
    name: "kits23",
    title: "KiTS23",
    cases: "0-299,400-588",
    unlabelled: "",
    images: IMAGES,
    labels: `${REPOSITORIES}/kits23/main/dataset`,
    labelFile: "segmentation.nii.gz",
    metadata: "kits23.json",
    cloned: ["dataset"],
  },
  {
    name: "kits21",
    title: "KiTS21",
    cases: "0-299",
    unlabelled: "",
    images: IMAGES,
    labels: `${REPOSITORIES}/kits21/master/kits21/data`,
    labelFile: "aggregated_MAJ_seg.nii.gz",
    metadata: "kits.json",
    cloned: ["kits21/data"],
  },
  {
    name: "kits19",
    title: "KiTS19",
    cases: "0-209",
    unlabelled: "210-299",
    images: IMAGES,
    labels: `${REPOSITORIES}/kits19/master/data`,
    labelFile: "segmentation.nii.gz",
    metadata: "kits.json",
    cloned: ["data"],
  },
];

/** Throws OptionError for a name that is none of a dataset's. */
export function sourceOf(name: string): Source {
  const source = sources.find((one) => one.name === name);
  if (source) return source;
  throw new OptionError(`--dataset must be one of ${sources.map((one) => one.name).join(", ")}, found ${name}`);
}

/** "case_00007" for 7. */
export function caseId(number: number): string {
  return `case_${String(number).padStart(5, "0")}`;
}

/**
 * Numbers of a list such as "0-9,20", sorted, each once. `allowed`: those that there are. Throws OptionError for a list of
 * another form and for numbers that are not there.
 */
export function parseCases(text: string, allowed?: ReadonlySet<number>): number[] {
  const numbers = new Set<number>();
  for (const part of text.split(",").filter((one) => one.trim() !== "")) {
    const [, first, last = first] = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first))
      throw new OptionError(`--cases must be numbers and ranges such as 0-9,20, found ${part.trim()}`);
    for (let n = Number(first); n <= Number(last); n++) numbers.add(n);
  }
  const sorted = [...numbers].sort((a, b) => a - b);
  const unknown = allowed && sorted.filter((n) => !allowed.has(n));
  if (unknown && unknown.length > 0)
    throw new OptionError(`--cases names ${unknown.slice(0, 5).join(", ")}, which the dataset does not have`);
  return sorted;
}

/**
 * Address of a case's image: `{case}` of the pattern is replaced by case_00000 and `{number}` by 00000; a pattern without
 * either is a folder of files named case_00000.nii.gz. Throws OptionError unless it is of http or https.
 */
export function addressOf(pattern: string, id: string): string {
  const whole = /\{(case|number)\}/.test(pattern) ? pattern : below(pattern, "{case}.nii.gz");
  return webAddress(whole.replaceAll("{case}", id).replaceAll("{number}", id.slice("case_".length)));
}

/** Address of a file in a folder. Throws as addressOf. */
export function addressIn(folder: string, file: string): string {
  return webAddress(below(folder, file));
}

function below(folder: string, file: string): string {
  return `${folder.replace(/\/+$/, "")}/${file}`;
}

function webAddress(text: string): string {
  const address = URL.canParse(text) ? new URL(text) : null;
  if (address && /^https?:$/.test(address.protocol)) return address.href;
  throw new OptionError(`a base URL must begin with http:// or https://, found ${text}`);
}
