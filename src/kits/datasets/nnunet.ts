// nnU-Net's raw layout: imagesTr/ID_0000.nii.gz, labelsTr/ID.nii.gz and dataset.json, which says what the labels mean.
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { DataError } from "../../errors.ts";
import {
  all,
  either,
  isRecord,
  listOf,
  object,
  oneOf,
  optional,
  recordOf,
  text,
  that,
  plain as any,
  whole,
} from "../../structure.ts";
import { readJson } from "../json.ts";
import type { CaseFiles, DatasetSpec } from "./dataset.ts";
import { kits19 } from "./kits19.ts";
import { plain } from "./plain.ts";

/** dataset.json of nnU-Net v2, as far as it is used here. */
export interface NnunetFacts {
  /** Channel number to name. */
  channel_names: Record<string, string>;
  /** Name to value; to several values where regions are trained. */
  labels: Record<string, number | number[]>;
  file_ending: string;
  numTraining?: number;
  /** Value of each region, in the order in which they are written over each other. */
  regions_class_order?: number[];
}

/** A raw folder, read. */
export interface NnunetTree {
  readonly root: string;
  readonly facts: NnunetFacts;
  /** By id; `label` is null in imagesTs and where it is missing. */
  readonly training: readonly CaseFiles[];
  readonly test: readonly CaseFiles[];
  /** Ids of labels for training without an image. */
  readonly orphans: readonly string[];
}

const value = whole(0, 255);
const factsFile = all(
  that("an object of nnU-Net v2 with channel_names, labels and file_ending", isRecord),
  object<NnunetFacts>(
    {
      channel_names: recordOf(text),
      labels: recordOf(either(value, listOf(value))),
      file_ending: oneOf(".nii.gz", ".nii"),
      numTraining: optional(whole(0, 1_000_000)),
      regions_class_order: optional(listOf(value)),
    },
    any(6),
  ),
);

/** True for a folder in nnU-Net's raw layout. */
export function isNnunet(root: string): boolean {
  return existsSync(join(root, "dataset.json")) && existsSync(join(root, "imagesTr"));
}

/**
 * Reads what a raw folder holds; of volumes only names. Throws DataError for a dataset.json that is damaged or of another
 * version, and for more than one channel.
 */
export async function readNnunet(root: string): Promise<NnunetTree> {
  const path = join(root, "dataset.json");
  const facts = await readJson<NnunetFacts>(
    path,
    factsFile,
    "nnU-Net's documentation (dataset_format.md) has the format",
  );
  const channels = Object.values(facts.channel_names);
  if (channels.length !== 1)
    throw new DataError(
      `${path}: images must have one channel, a CT, found ${channels.join(", ")}; convert the channel that is the CT`,
    );
  const [training, test] = await Promise.all([casesIn(root, "Tr"), casesIn(root, "Ts")]);
  const ids = new Set(training.map(({ id }) => id));
  const labels = await readdir(join(root, "labelsTr")).catch(() => [] as string[]);
  const orphans = labels.flatMap((name) => /^([^.].*)\.nii(\.gz)?$/.exec(name)?.[1] ?? []).filter((id) => !ids.has(id));
  return { root, facts, training, test, orphans };
}

async function casesIn(root: string, part: "Tr" | "Ts"): Promise<CaseFiles[]> {
  const folder = join(root, `images${part}`);
  if (!existsSync(folder)) return [];
  const names = (await readdir(folder)).sort();
  return names.flatMap((name) => {
    const [, id, ending] = /^([^.].*)_0000(\.nii(?:\.gz)?)$/.exec(name) ?? [];
    if (id === undefined) return [];
    const label = join(root, `labels${part}`, `${id}${ending}`);
    return [{ id, image: join(folder, name), label: existsSync(label) ? label : null }];
  });
}

const MEANINGS = ["background", "kidney", "tumor", "cyst"] as const;

/**
 * What the values of a raw folder's labels are in KiTS (1 kidney, 2 tumor, 3 cyst), by the names in dataset.json: a list
 * with the KiTS value at each index. Throws DataError where names or regions are others.
 */
export function kitsValues({ root, facts: { labels } }: NnunetTree): number[] {
  const entries = Object.entries(labels).map(([name, v]): Entry => [name.toLowerCase(), [v].flat().sort()]);
  const values = entries.some(([, v]) => v.length > 1) ? ofRegions(entries) : ofNames(entries);
  if (values?.includes(1) && values.includes(2)) return values;
  const found = Object.entries(labels).map(([name, v]) => `${name} ${JSON.stringify(v)}`);
  throw new DataError(
    `${join(root, "dataset.json")}: labels must be named kidney, tumor and maybe cyst, or be KiTS's regions of them, ` +
      `found ${found.join(", ")}; rename them`,
  );
}

type Entry = readonly [name: string, values: readonly number[]];

/** Each name has one value; null where two mean the same, a name means nothing here, or a value has no name. */
function ofNames(entries: readonly Entry[]): number[] | null {
  const values: number[] = [];
  for (const [name, [v]] of entries) {
    const meaning = meaningOf(name);
    if (meaning < 0 || v === undefined || values.includes(meaning) || values[v] !== undefined) return null;
    values[v] = meaning;
  }
  return Array.from(values).includes(undefined!) ? null : values;
}

/** Regions do not say what each value is, but those of KiTS have the tumor, 2, alone in one, and kidneys with all in another. */
function ofRegions(entries: readonly Entry[]): number[] | null {
  const tumor = entries.some(([name, values]) => /tumou?r/.test(name) && values.join() === "2");
  const kidney = entries.find(([name, values]) => /kidney/.test(name) && /^1,2(,3)?$/.test(values.join()));
  return tumor && kidney ? [0, ...kidney[1]] : null;
}

/** Index in MEANINGS, -1 for another name. A kidney tumor is a tumor. */
function meaningOf(name: string): number {
  const order = [/background/, /tumou?r/, /cyst/, /kidney/];
  return [0, 2, 3, 1][order.findIndex((pattern) => pattern.test(name))] ?? -1;
}

/** The dataset in a raw folder: that of KiTS with as many labels. Throws DataError if the values mean other things there. */
export function specOfNnunet(tree: NnunetTree): DatasetSpec {
  const values = kitsValues(tree);
  const title = `nnU-Net raw ${basename(tree.root)}`;
  if (values.every((to, from) => to === from))
    return { ...(values.length === kits19.labels.length ? kits19 : plain), title, license: plain.license };
  const found = values.map((to, from) => `${from} ${MEANINGS[to]}`).slice(1);
  throw new DataError(
    `${join(tree.root, "dataset.json")}: labels must be 1 kidney, 2 tumor, 3 cyst, found ${found.join(", ")}; ` +
      `convert:kits --from nnunet writes them anew`,
  );
}
