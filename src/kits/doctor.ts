// Looks at every file of a tree as training would, and at what training would not stop for, and lists all that is wrong.

import { basename } from "node:path";
import { DataError } from "../errors.ts";
import { checkLabelValues, checkPair, listCases } from "./datasets/open.ts";
import type { CaseFiles, DatasetSpec } from "./datasets/dataset.ts";
import { readImage, readLabels, type ImageVolume, type LabelImage } from "./nifti.ts";

/** One thing that is wrong ("error": training stops at it) or odd ("warning"). */
export interface Finding {
  readonly severity: "error" | "warning";
  readonly id: string;
  readonly file: string;
  readonly problem: string;
  readonly fix: string;
}

/** What diagnose() has found. */
export interface Diagnosis {
  readonly title: string;
  /** Case folders looked at. */
  readonly cases: number;
  readonly findings: readonly Finding[];
}

/** Settings of diagnose(). */
export interface DoctorOptions {
  /** Name of the dataset where detection should not decide. */
  readonly dataset?: string;
  /** Told after each case. */
  readonly onCase?: (done: number, total: number, id: string) => void;
}

/**
 * Reads all of a KiTS tree: gzip checksums and lengths, headers against file sizes, labels against their images (shape,
 * spacing, place) and against the dataset's classes, missing files; and what is odd about slices, spacing and
 * intensities. Throws DataError only where there is no tree, OptionError for an unknown dataset.
 */
export async function diagnose(root: string, { dataset, onCase = () => {} }: DoctorOptions = {}): Promise<Diagnosis> {
  const { spec, cases, missing } = await listCases(root, dataset === undefined ? {} : { name: dataset });
  if (cases.length + missing.length === 0)
    throw new DataError(`${root}: ${spec.title} must hold labelled cases, found none`);
  const findings: Finding[] = missing.map(({ id, file }) => ({
    severity: "error",
    id,
    file,
    problem: "is missing",
    fix: file.startsWith("imaging") ? "the images are apart from the labels: download:kits fetches them" : "download it again",
  }));
  for (const [i, files] of cases.entries()) {
    findings.push(...(await examine(files, spec)));
    onCase(i + 1, cases.length, files.id);
  }
  const ids = new Set([...cases.map(({ id }) => id), ...missing.map(({ id }) => id)]);
  findings.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  return { title: spec.title, cases: ids.size, findings };
}

async function examine(files: CaseFiles, spec: DatasetSpec): Promise<Finding[]> {
  const findings: Finding[] = [];
  const attempt = async <T>(file: string, work: () => T | Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      const ofFile = error instanceof DataError || (error as NodeJS.ErrnoException).code !== undefined;
      if (!ofFile) throw error;
      findings.push({ severity: "error", id: files.id, file: basename(file), ...told((error as Error).message, file) });
      return null;
    }
  };
  const image = await attempt(files.image, () => readImage(files.image));
  const path = files.label;
  const label = path === null ? null : await attempt(path, () => readLabels(path, image?.header));
  if (label) await attempt(path!, () => checkLabelValues(spec, path!, label.counts));
  if (image && label) await attempt(path!, () => checkPair(files.id, image.header, label.header));
  const odd = [...(image ? oddImage(image) : []), ...(label ? oddLabel(label) : [])];
  return [
    ...findings,
    ...odd.map(({ file, problem, fix }) => ({ severity: "warning" as const, id: files.id, file, problem, fix })),
  ];
}

/** A message "file: what is wrong; what to do" in its parts. */
export function told(message: string, file: string): { problem: string; fix: string } {
  const text = message.startsWith(`${file}: `) ? message.slice(file.length + 2) : message;
  const at = text.lastIndexOf("; ");
  return at < 0
    ? { problem: text, fix: "check the file and its permissions" }
    : { problem: text.slice(0, at), fix: text.slice(at + 2) };
}

type Oddity = Pick<Finding, "file" | "problem" | "fix">;

/** Spacings of abdominal CT, mm. */
const SPACING = { inPlane: [0.3, 1.5], slices: [0.3, 7] } as const;

function oddImage({ header, data, nonFinite }: ImageVolume): Oddity[] {
  const file = basename(header.path);
  const found: Oddity[] = [];
  const odd = (problem: string, fix: string) => found.push({ file, problem, fix });
  const [slices, height, width] = header.shape;
  const [between, ...inPlane] = header.spacing;
  if (nonFinite > 0) odd(`${nonFinite} voxels are NaN or infinite`, "they are read as air; export the image again");
  if (header.affineSource === "pixdim") odd("says nothing of its orientation", "taken as KiTS orients its files");
  if (height !== width) odd(`slices are ${height} x ${width}, not square`, "they are stretched, as the paper does it");
  if (slices < 16) odd(`has only ${slices} slices`, "check that the whole scan was exported");
  const outside = (v: number, [low, high]: readonly [number, number]) => v < low || v > high;
  if (outside(between, SPACING.slices) || inPlane.some((v) => outside(v, SPACING.inPlane)))
    odd(`spacing ${header.spacing.map((v) => +v.toFixed(3)).join(" x ")} mm is unusual for a CT`, "check its unit: mm");
  const [low, high] = extremes(data);
  if (low > -300 || high < 300)
    odd(`values run from ${low} to ${high}`, "Hounsfield units reach from air (-1000) to bone; check the rescaling");
  return found;
}

function oddLabel({ header, counts }: LabelImage): Oddity[] {
  if (counts[1] > 0) return [];
  return [{ file: basename(header.path), problem: "shows no kidney", fix: "check that it belongs to this image" }];
}

function extremes(data: Int16Array): [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (const v of data) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return [low, high];
}

/** The findings as a table of text, and a last line that counts them. */
export function formatDiagnosis({ title, cases, findings }: Diagnosis): string {
  const rows = findings.map((f) => [f.severity, f.id, f.file, f.problem, f.fix]);
  const head = ["", "case", "file", "problem", "fix"];
  const widths = head.map((_, k) => Math.max(...[head, ...rows].map((row) => row[k].length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, k) => (k < 4 ? cell.padEnd(widths[k]) : cell))
      .join("  ")
      .trimEnd();
  const count = (severity: string) => findings.filter((f) => f.severity === severity).length;
  const total = `${title}, ${cases} cases: ${count("error")} errors, ${count("warning")} warnings`;
  return rows.length === 0 ? total : [line(head), ...rows.map(line), "", total].join("\n");
}
