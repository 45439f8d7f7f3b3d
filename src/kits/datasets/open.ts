// Finds the cases below a folder, says which dataset it is, and pairs each image with its label.
import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DataError, OptionError } from "../../errors.ts";
import { cornerDistance } from "../geometry.ts";
import type { NiftiHeader } from "../nifti_header.ts";
import type { CaseFiles, Dataset, DatasetSpec, Tree } from "./dataset.ts";
import { isNnunet, readNnunet, specOfNnunet } from "./nnunet.ts";
import { datasets } from "./registry.ts";

export type { CaseFiles, Dataset, DatasetSpec } from "./dataset.ts";

const IMAGE = "imaging";
const MOST_SHOWN = 10;

/**
 * Opens a KiTS19, KiTS21 or KiTS23 tree as downloaded, the phantom, any folder in KiTS layout or in nnU-Net's raw layout;
 * `name` forces a dataset.
 * `labels: "optional"` keeps cases without a label (for prediction). Only names are looked at, no voxels.
 * Throws DataError listing every case whose image or label is missing, and OptionError for an unknown name.
 */
export async function openDataset(
  root: string,
  options: { name?: string; labels?: "required" | "optional" } = {},
): Promise<Dataset> {
  const { folder, spec, cases, missing } = await listCases(root, options);
  if (missing.length > 0)
    throw incomplete(
      folder,
      spec,
      missing.map(({ id, file }) => `${id}: ${file} is missing`),
    );
  const given = resolve(root);
  if (cases.length === 0) throw new DataError(`${given}: ${spec.title} must hold labelled cases, found none`);
  return { spec, root: given, synthetic: spec.name === "phantom", cases };
}

/** What a tree holds and lacks; only names are looked at. */
export interface CaseList {
  /** That of the case folders. */
  readonly folder: string;
  readonly spec: DatasetSpec;
  /** Whole ones. */
  readonly cases: CaseFiles[];
  readonly missing: { readonly id: string; readonly file: string }[];
}

/** The cases of a tree, complete or not. Options and errors as openDataset, which also asks for all files. */
export async function listCases(
  root: string,
  options: { name?: string; labels?: "required" | "optional" } = {},
): Promise<CaseList> {
  const given = resolve(root);
  if (isNnunet(given)) return listNnunet(given, options);
  const tree = await findTree(given);
  const spec = options.name === undefined ? detect(tree) : byName(options.name);
  const optional = options.labels === "optional";
  const cases: CaseFiles[] = [];
  const missing: CaseList["missing"] = [];
  for (const id of tree.caseIds) {
    const image = findImage(tree.folder, given, id);
    const label = findLabel(tree.folder, spec, id);
    if (label === null && !optional && spec.unlabelled?.(id)) continue;
    if (image === null) missing.push({ id, file: `${IMAGE}.nii.gz` });
    if (label === null && !optional) missing.push({ id, file: `${spec.labelFiles[0]}.nii.gz` });
    if (image !== null && (label !== null || optional)) cases.push({ id, image, label });
  }
  return { folder: tree.folder, spec, cases, missing };
}

/** The cases of a folder in nnU-Net's raw layout: those for training, and without labels also the others. */
async function listNnunet(
  root: string,
  { name, labels }: { name?: string; labels?: "required" | "optional" },
): Promise<CaseList> {
  const tree = await readNnunet(root);
  const spec = name === undefined ? specOfNnunet(tree) : byName(name);
  if (labels === "optional") return { folder: root, spec, cases: [...tree.training, ...tree.test], missing: [] };
  const unlabelled = tree.training.filter(({ label }) => label === null);
  const missing = [
    ...tree.orphans.map((id) => ({ id, file: `imagesTr/${id}_0000${tree.facts.file_ending}` })),
    ...unlabelled.map(({ id }) => ({ id, file: `labelsTr/${id}${tree.facts.file_ending}` })),
  ];
  return { folder: root, spec, cases: tree.training.filter(({ label }) => label !== null), missing };
}

/**
 * Checks that a label belongs to its image: the same dims, and corner voxels closer than half a voxel, so that rounding
 * in the headers passes and a shifted or differently spaced label does not. Throws DataError naming the case and both
 * values.
 */
export function checkPair(id: string, image: NiftiHeader, label: NiftiHeader): void {
  if (image.dims.some((n, i) => n !== label.dims[i])) {
    throw new DataError(
      `${id}: the label must have its image's shape [${image.dims}], found [${label.dims}]; ` +
        `check that ${label.path} belongs to ${image.path}`,
    );
  }
  const known = image.affineSource !== "pixdim" && label.affineSource !== "pixdim";
  const distance = known ? cornerDistance(image, label) : spacingDrift(image, label);
  const tolerance = 0.5 * Math.min(...image.spacing);
  if (distance <= tolerance) return;
  throw new DataError(
    `${id}: the label must lie on its image's grid, found a corner ${distance.toFixed(2)} mm away ` +
      `(at most ${tolerance.toFixed(2)} mm; image spacing ${show(image.spacing)} mm, label spacing ${show(label.spacing)} mm); ` +
      `copy the image's header to ${label.path} or resample it`,
  );
}

/**
 * Checks label values against the dataset's list. `counts`: voxels per value. Throws DataError naming values and file.
 */
export function checkLabelValues(spec: DatasetSpec, path: string, counts: ArrayLike<number>): void {
  const unknown: string[] = [];
  for (let value = spec.labels.length; value < counts.length; value++) {
    if (counts[value] > 0) unknown.push(`${value} (${counts[value]} voxels)`);
  }
  if (unknown.length === 0) return;
  const known = spec.labels.map((label, value) => `${value} ${label}`).join(", ");
  throw new DataError(
    `${path}: labels of ${spec.title} are ${known}; found ${unknown.join(", ")}; check which dataset this is`,
  );
}

/** When one matrix is unknown only the spacings can be compared: the drift at the far end of the longest axis. */
function spacingDrift(a: NiftiHeader, b: NiftiHeader): number {
  const length = (h: NiftiHeader, c: number) => Math.hypot(h.affine[0][c], h.affine[1][c], h.affine[2][c]);
  return Math.max(...[0, 1, 2].map((c) => Math.abs(length(a, c) - length(b, c)) * (a.dims[c] - 1)));
}

async function findTree(given: string): Promise<Tree> {
  const info = await stat(given).catch(() => null);
  if (!info?.isDirectory()) {
    throw new DataError(`${given}: must be a folder of cases, found ${info ? "a file" : "nothing"}; check --data`);
  }
  const below = [...new Set(datasets.flatMap((spec) => spec.caseFolders))];
  for (const folder of [given, ...below.map((name) => join(given, name))]) {
    const caseIds = existsSync(folder) ? await caseFolders(folder) : [];
    if (caseIds.length === 0) continue;
    // Markers such as kits.json lie beside the cases; images/ may lie one folder up.
    const names = new Set([...(await readdir(folder)), ...(await readdir(given))]);
    return { folder, names, caseIds, caseNames: await labelledCaseNames(folder, caseIds) };
  }
  throw new DataError(
    `${given}: no case folders found (case_00000/${IMAGE}.nii.gz and segmentation.nii.gz); ` +
      `give the folder of a KiTS19, KiTS21 or KiTS23 download or nnU-Net's Dataset folder`,
  );
}

async function caseFolders(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  // A link to a folder is a folder too: large images are often linked in.
  const folders = entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
  return folders
    .map((entry) => entry.name)
    .filter((name) => /^case_\w+$/.test(name))
    .sort();
}

async function labelledCaseNames(folder: string, caseIds: readonly string[]): Promise<Set<string>> {
  let first = new Set<string>();
  for (const id of caseIds) {
    const names = new Set(await readdir(join(folder, id)).catch(() => [])); // a link may lead to no folder
    if ([...names].some((name) => /seg.*\.nii(\.gz)?$/.test(name))) return names;
    if (first.size === 0) first = names;
  }
  return first;
}

function detect(tree: Tree): DatasetSpec {
  return datasets.find((spec) => spec.detect(tree))!; // the last one takes anything
}

function byName(name: string): DatasetSpec {
  const spec = datasets.find((candidate) => candidate.name === name);
  if (!spec) throw new OptionError(`dataset: must be one of ${datasets.map((d) => d.name).join(", ")}, found ${name}`);
  return spec;
}

function findImage(folder: string, given: string, id: string): string | null {
  const imageFolders = [join(folder, "images"), join(folder, "..", "images"), join(given, "images")];
  return firstVolume([join(folder, id, IMAGE), ...imageFolders.map((place) => join(place, id))]);
}

function findLabel(folder: string, spec: DatasetSpec, id: string): string | null {
  return firstVolume(spec.labelFiles.map((name) => join(folder, id, name)));
}

function firstVolume(stems: readonly string[]): string | null {
  return stems.flatMap((stem) => [`${stem}.nii.gz`, `${stem}.nii`]).find((path) => existsSync(path)) ?? null;
}

function incomplete(folder: string, spec: DatasetSpec, problems: string[]): DataError {
  const more = problems.length > MOST_SHOWN ? `\n  and ${problems.length - MOST_SHOWN} more` : "";
  const list = problems
    .slice(0, MOST_SHOWN)
    .map((line) => `\n  ${line}`)
    .join("");
  return new DataError(
    `${folder}: every case of ${spec.title} must have its image and label, found ${problems.length} missing ` +
      `(the images are a separate download):${list}${more}`,
  );
}

function show(values: readonly number[]): string {
  return values.map((v) => +v.toFixed(4)).join(" x ");
}
