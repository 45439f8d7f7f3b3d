// Scans with a trained run: found, read, segmented, written, one after another. A file that cannot be read is named, and
// the others go on.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { DataError, OptionError } from "../errors.ts";
import { outlivingLosses } from "./deviceLoss.ts";
import { throwIfInterrupted } from "./interrupt.ts";
import { readHeader, readImage, type ImageVolume } from "./nifti.ts";
import { findScans, type ScanFile } from "./predictInputs.ts";
import { labelPath, resultOf, writeScan } from "./predictScan.ts";
import { startProgress, type ProgressMode } from "./progress.ts";
import { openSegmenter, type Segmenter, type SegmentOptions } from "./segment.ts";
import { windowRange } from "./slices.ts";
import { loadCascade } from "./trainedCascade.ts";
import { loadVolumes, saveVolumes, type VolumesFile } from "./volumesFile.ts";

/** What predict:kits is asked to do. */
export interface PredictRequest {
  /** Run folder of train:kits. */
  readonly run: string;
  /** A NIfTI file, a folder of them, or a KiTS tree. */
  readonly input: string;
  readonly output: string;
  /** Average over mirror images. */
  readonly tta: boolean;
  /** Slices at a time; default those of each network's training. */
  readonly batch?: number;
  readonly probabilities: boolean;
  readonly confidence: boolean;
  /** A PNG for each scan. */
  readonly picture: boolean;
  /** Predict scans again that are predicted already. */
  readonly overwrite: boolean;
  /** Leave out those that are. */
  readonly resume: boolean;
  /** Opens the GPU again after it was lost. */
  readonly reopen: () => Promise<void>;
  readonly mode: ProgressMode;
  readonly say: (text: string) => void;
}

/** A scan that is not predicted, and why. */
export interface Failure {
  readonly name: string;
  readonly message: string;
}

/** What comes of a folder. */
export interface Predicted {
  readonly volumes: VolumesFile;
  readonly failures: readonly Failure[];
}

/**
 * Predicts every scan of the input, after init(); writeScan and saveVolumes say what that leaves in the output folder.
 * Scans that cannot be read are told and returned. Throws OptionError and DataError for folders that do not fit, and
 * where a result cannot be written.
 */
export async function predictKits(request: PredictRequest): Promise<Predicted> {
  const { input, output, say } = request;
  if (resolve(input) === resolve(output)) throw new OptionError("--output must be another folder than --input");
  const scans = await findScans(input);
  const cascade = await loadCascade(resolve(request.run), request.confidence);
  if (cascade.left.length > 0)
    say(`the run has no ${cascade.left.join(", ")} network yet: the labels are kidney and mass, of the coarse network`);
  const open = () => openSegmenter(cascade.options, cascade.weights, request);
  let segmenter = await open();
  const reopening = {
    say,
    reopen: async () => {
      await request.reopen();
      segmenter = await open();
    },
  };
  const pictured = request.picture ? windowRange(cascade.options) : null;
  let volumes = await volumesBefore(request, segmenter, scans);
  const results = new Map(volumes.scans.map((result) => [result.name, result]));
  const failures: Failure[] = [];
  const left = scans.filter(({ name }) => !results.has(name));
  if (left.length < scans.length) say(`${scans.length - left.length} of ${scans.length} scans are there already`);
  const todo = await withHeaders(left, failures);
  const progress = shown(todo, segmenter, request.mode);
  for (const { name, message } of failures) progress.log(`error: ${name}: ${message}`);
  try {
    for await (const [file, scan] of readAhead(todo, failures, progress.log)) {
      const started = performance.now();
      const onProgress = progress.of(file);
      const found = await outlivingLosses(reopening, () =>
        segmenter.segment(scan, { probabilities: request.probabilities, onProgress }),
      );
      const result = resultOf(file, scan, found, (performance.now() - started) / 1000);
      await writeScan(output, file, scan, found, result, pictured);
      results.set(file.name, result);
      volumes = { ...volumes, scans: scans.flatMap(({ name }) => results.get(name) ?? []) };
      await saveVolumes(output, volumes);
    }
  } finally {
    progress.stop();
    segmenter.free();
  }
  return { volumes, failures };
}

/** The results that are there and stay, under what all are made with. */
async function volumesBefore(request: PredictRequest, segmenter: Segmenter, scans: ScanFile[]): Promise<VolumesFile> {
  const { output, overwrite, resume, tta, batch = null } = request;
  const { stages, classes } = segmenter;
  const now: VolumesFile = { run: resolve(request.run), stages, classes, tta, batch, scans: [] };
  const there = scans.filter((scan) => existsSync(labelPath(output, scan)));
  if (there.length > 0 && !overwrite && !resume)
    throw new DataError(
      `${labelPath(output, there[0])} is there already${there.length > 1 ? `, and ${there.length - 1} more` : ""}; ` +
        "choose another --output, add --overwrite to predict again, or --resume to predict only what is missing",
    );
  const before = overwrite ? null : await loadVolumes(output);
  if (!before) return now;
  if (!isDeepStrictEqual({ ...before, scans: [] }, now))
    throw new OptionError(
      `--resume goes on with the run, networks, --tta and --batch of ${join(output, "volumes.json")}; ask for the same, choose another --output, or add --overwrite`,
    );
  return { ...now, scans: before.scans.filter(({ name }) => there.some((scan) => scan.name === name)) };
}

/** A scan that is to be predicted, and its number of slices. */
interface Todo extends ScanFile {
  readonly slices: number;
}

/** Those whose header can be read. */
async function withHeaders(scans: readonly ScanFile[], failures: Failure[]): Promise<Todo[]> {
  const todo: Todo[] = [];
  for (const scan of scans) {
    const header = await readHeader(scan.path).catch((error: unknown) => failed(scan, error, failures));
    if (header) todo.push({ ...scan, slices: header.shape[0] });
  }
  return todo;
}

/** Remembers what is wrong with a file; throws what is no fault of the file. */
function failed({ name }: ScanFile, error: unknown, failures: Failure[]): null {
  if (!(error instanceof DataError)) throw error;
  failures.push({ name, message: error.message });
  return null;
}

/** Reads scan after scan, each while the one before is worked on: two are in memory. */
async function* readAhead(
  todo: readonly Todo[],
  failures: Failure[],
  log: (line: string) => void,
): AsyncGenerator<[Todo, ImageVolume]> {
  const read = (scan?: Todo) => {
    const reading = scan && readImage(scan.path);
    reading?.catch(() => {}); // it is told when it is asked for
    return reading;
  };
  let reading = read(todo[0]);
  for (const [i, file] of todo.entries()) {
    const scan = await reading!.catch((error: unknown) => failed(file, error, failures));
    reading = read(todo[i + 1]);
    if (!scan) log(`error: ${file.name}: ${failures.at(-1)!.message}`);
    else if (scan.nonFinite > 0)
      log(`warning: ${file.name}: ${scan.nonFinite} voxels are not finite; they are read as air`);
    if (scan) yield [file, scan];
  }
}

/** The progress of all scans as one: every slice counts once for each network, whether that looks at it or not. */
function shown(todo: readonly Todo[], { stages }: Segmenter, mode: ProgressMode) {
  const total = todo.reduce((n, { slices }) => n + slices * stages.length, 0);
  const progress = startProgress({ label: "predict", total, unit: "slices", mode });
  return {
    log: (line: string) => progress.log(line),
    stop: () => progress.stop(),
    of: (file: Todo): SegmentOptions["onProgress"] => {
      const before = todo.slice(0, todo.indexOf(file)).reduce((n, { slices }) => n + slices * stages.length, 0);
      return ({ stage, done, total }) => {
        throwIfInterrupted();
        const k = (stages as readonly string[]).indexOf(stage);
        const others = k < 0 ? (stage === "labels" ? stages.length * file.slices : 0) : (k + 1) * file.slices - total;
        progress.update(before + others + (k < 0 ? 0 : done), { scan: file.name, stage });
      };
    },
  };
}
