// A network shown all slices of a scan, and what it says put back on the scan's own grid: labels of the coarse network,
// masks of the fine ones. Where slices come from and results go is up to others: files in predictFiles.ts, memory in
// segment.ts.

import { cast, compile, concat, noGrad, type Tensor } from "../index.ts";
import { setTraining } from "../nn/index.ts";
import { unaugmented, type Augmentation } from "./augment.ts";
import { uploadSlices, type GpuSlices } from "./batch.ts";
import { composeLabels } from "./compose.ts";
import type { Triple } from "./geometry.ts";
import type { Network } from "./network.ts";
import { restoreLabels, restoreRoi } from "./resample.ts";
import { fullRois, type CaseRois } from "./roi.ts";
import type { Slices } from "./slices.ts";
import type { Stage } from "./stages.ts";

/** What prediction needs of a network. */
export type PredictionNetwork = Pick<
  Network,
  "model" | "discriminators" | "size" | "input" | "probabilities" | "setTraining"
>;

/** The slices of one scan: `first`, `first` + 1, ... of `slices`, one for each slice of the scan's grid [S, H, W]. */
export interface ScanSlices {
  readonly slices: Slices;
  readonly first: number;
  readonly shape: Triple;
}

/** How slices are shown to a network. */
export interface PredictorOptions {
  /** Slices at a time. Another number may choose other kernels, whose results differ in the last bits. */
  readonly batch: number;
  /** Rows and columns of the slices that the network's regions are cut from. */
  readonly sourceSize: number;
  /** Average what the network says of a slice and of its three mirror images. Default false. */
  readonly mirror?: boolean;
}

/** Told after each batch how many slices it had. What it throws ends the prediction. */
export type OnSlices = (count: number) => void;

/** What a network says of a slice: probabilities [C, size, size] and the confidence map [size, size]. */
interface Said {
  readonly probabilities: Float32Array;
  readonly confidence: Float32Array | null;
}

/** A slice as it is, and for `mirror` also its mirror images. */
const MIRRORS: readonly Augmentation[] = [false, true].flatMap((mirrorVertical) =>
  [false, true].map((mirrorHorizontal) => ({ ...unaugmented, mirrorVertical, mirrorHorizontal })),
);

/** A network that is ready to be shown scans, one after another. Open it with openPredictor. */
export class Predictor {
  readonly size: number;
  readonly stage: Stage;
  /** Its regions are judged by a discriminator. */
  readonly judged: boolean;
  readonly #batch: number;
  readonly #shown: readonly Augmentation[];
  readonly #gpuSlices: GpuSlices;
  readonly #infer: ReturnType<typeof inference>;
  readonly #now: { view: View | null };

  constructor(
    network: PredictionNetwork,
    stage: Stage,
    { batch, mirror = false }: PredictorOptions,
    gpuSlices: GpuSlices,
    now: { view: View | null },
  ) {
    this.size = network.size;
    this.stage = stage;
    this.judged = network.discriminators.length > 0;
    this.#batch = batch;
    this.#shown = MIRRORS.slice(0, mirror ? 4 : 1);
    this.#gpuSlices = gpuSlices;
    this.#infer = inference(network, gpuSlices);
    this.#now = now;
  }

  /** Calls `use` with every slice that has a region, in order, and what the network says of it. */
  async run(scan: ScanSlices, rois: CaseRois, use: (slice: number, said: Said) => void, onSlices: OnSlices) {
    this.#now.view = { scan, rois };
    // While the GPU computes a batch, what it said of the one before is read and put in its place: two are under way.
    let before = async () => {};
    for (const group of groupsOf(rois, this.#batch)) {
      const saying = await this.#submit(group);
      await before();
      before = async () => {
        const said = await saying();
        group.forEach((s, i) => use(s, said[i]));
        onSlices(group.length);
      };
    }
    await before();
  }

  /** Submits a group of slices; the function waits for what the network says of each. */
  async #submit(group: readonly number[]): Promise<() => Promise<Said[]>> {
    const { first } = this.#now.view!.scan;
    // The batch is always full, since each batch size has its own pipelines.
    const full = Array.from({ length: this.#batch }, (_, i) => first + (group[i] ?? group[0]));
    const reads: Promise<Said[]>[] = [];
    for (const shown of this.#shown) {
      const { probabilities, confidence } = await this.#infer(this.#gpuSlices.batch(full, undefined, shown).inputs);
      const read = Promise.all([probabilities.read(), confidence?.read()]).then(([p, c]) =>
        group.map((_, i) => ({
          probabilities: this.#part(p as Float32Array, i),
          confidence: c ? this.#part(c as Float32Array, i) : null,
        })),
      );
      read.catch(() => {}); // whoever waits for it is told; where an earlier error ended the prediction, nobody waits
      reads.push(read);
    }
    return async () => {
      const [asIs, ...mirrored] = await Promise.all(reads);
      return mirrored.length === 0 ? asIs : asIs.map((said, i) => this.#mean([said, ...mirrored.map((m) => m[i])]));
    };
  }

  #part(values: Float32Array, i: number): Float32Array {
    return values.subarray((i * values.length) / this.#batch, ((i + 1) * values.length) / this.#batch);
  }

  /** The mean of what was said of a slice and of its mirror images, in the order of MIRRORS. */
  #mean(said: readonly Said[]): Said {
    const mean = (planes: readonly Float32Array[]) => meanOfMirrors(planes, this.size);
    return {
      probabilities: mean(said.map(({ probabilities }) => probabilities)),
      confidence: said[0].confidence && mean(said.map(({ confidence }) => confidence!)),
    };
  }

  /** Gives back the memory that is kept between batches. */
  free(): void {
    this.#infer.free();
  }
}

/** What is predicted at the moment. */
interface View {
  readonly scan: ScanSlices;
  readonly rois: CaseRois;
}

/** Makes a predictor of a network whose weights are loaded. Its memory is taken at the first scan; give it back with free(). */
export async function openPredictor(
  network: PredictionNetwork,
  stage: Stage,
  options: PredictorOptions,
): Promise<Predictor> {
  network.setTraining(false);
  const now: { view: View | null } = { view: null };
  const scan = () => now.view!.scan;
  const source = {
    size: network.size,
    stage,
    cache: {
      size: options.sourceSize,
      readImage: (...to) => scan().slices.readImage(...to),
      readLabel: (...to) => scan().slices.readLabel(...to),
    } satisfies Slices,
    regionOf: (slice: number) => now.view!.rois[slice - scan().first]!,
  };
  const slices = await uploadSlices(source, [], { resident: false, labels: false }); // each is seen once
  return new Predictor(network, stage, options, slices, now);
}

/** Probabilities [N, C, size, size], and the confidence [N, 1, size, size] of the discriminator at full resolution. */
function inference(network: PredictionNetwork, slices: GpuSlices) {
  const critic = network.discriminators[0]?.alone(0);
  if (critic) setTraining(critic, false);
  return compile((inputs: Record<string, Tensor>) =>
    noGrad(() => {
      const image = network.input(slices.tensors(inputs).images);
      const probabilities = network.probabilities(network.model.forward(image));
      return {
        probabilities,
        confidence: critic ? critic.confidence(concat([image, cast(probabilities, image.dtype)], 1)) : null,
      };
    }),
  );
}

/** The slices with a region, in groups of a batch. */
function groupsOf(rois: CaseRois, batch: number): number[][] {
  const slices = rois.flatMap((roi, s) => (roi ? [s] : []));
  return Array.from({ length: Math.ceil(slices.length / batch) }, (_, i) => slices.slice(i * batch, (i + 1) * batch));
}

/** The mean of planes [C, size, size] in the order of MIRRORS, each mirrored back. */
function meanOfMirrors([asIs, left, upside, turned]: readonly Float32Array[], size: number): Float32Array {
  const last = size - 1;
  return asIs.map((value, i) => {
    const x = i % size;
    const start = i - x;
    const down = start + size * (last - 2 * ((start / size) % size)); // the row as far from the other end
    return (value + left[start + last - x] + upside[down + x] + turned[down + last - x]) / 4;
  });
}

/** A volume of labels, or of probabilities: 255 times p, at least 1 where the network looked, 0 elsewhere. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** What a network says of the whole slices of a scan; all [S, H, W]. */
export interface WholeSlices {
  /** 1 kidney, 2 mass for the coarse network; 1, 2, 3 for the region-trained one. */
  readonly labels: Bytes;
  /** Probability of each of the stage's regions, where asked for. */
  readonly regions: Readonly<Record<string, Bytes>>;
}

/**
 * Labels of whole slices. Probabilities are resized to the slice's own size before the class is chosen. `regions`: also
 * give the probabilities of the coarse network's regions.
 */
export async function predictWhole(
  predictor: Predictor,
  scan: ScanSlices,
  onSlices: OnSlices,
  { regions = false } = {},
): Promise<WholeSlices> {
  const [S, H, W] = scan.shape;
  const { size, stage } = predictor;
  const labels = new Uint8Array(S * H * W);
  const wanted = Object.entries(regions ? stage.regions : {});
  const bytes = wanted.map(([name, classes]) => ({ name, classes, out: new Uint8Array(S * H * W) }));
  const [whole] = fullRois(1);
  const use = (s: number, { probabilities }: Said) => {
    const offset = s * H * W;
    if (stage.name === "region") writeRegions(probabilities, [H, W], labels, offset);
    else restoreLabels(probabilities, { from: [size, size], to: [H, W], out: labels, offset });
    for (const { classes, out } of bytes)
      restoreRoi(sumOfPlanes(probabilities, classes, size), whole, { to: [H, W], out, offset, write: "byte" });
  };
  await predictor.run(scan, fullRois(S), use, onSlices);
  return { labels, regions: Object.fromEntries(bytes.map(({ name, out }) => [name, out])) };
}

/** The sum of some of the planes [C, size, size]. */
function sumOfPlanes(planes: Float32Array, classes: readonly number[], size: number): Float32Array {
  return Float32Array.from({ length: size ** 2 }, (_, i) =>
    classes.reduce((sum, c) => sum + planes[c * size ** 2 + i], 0),
  );
}

/** Three sigmoid planes to labels, each region within the one before. */
function writeRegions(planes: Float32Array, to: [number, number], labels: Bytes, offset: number): void {
  const [roi] = fullRois(1);
  const plane = planes.length / 3;
  const [kidney, masses, tumor] = [0, 1, 2].map((k) =>
    restoreRoi(planes.subarray(k * plane, (k + 1) * plane), roi, {
      to,
      out: new Uint8Array(to[0] * to[1]),
      write: "mask",
    }),
  );
  for (let i = 0; i < kidney.length; i++) {
    masses[i] &= kidney[i];
    tumor[i] &= masses[i];
  }
  composeLabels({ kidney, masses, tumor }, labels.subarray(offset, offset + kidney.length));
}

/** What a fine network says of its regions of interest; all [S, H, W], 0 outside of them. */
export interface InRegions {
  /** 1 where the probability is at least a half. */
  readonly mask: Bytes;
  readonly probability: Bytes | null;
  /** Of the discriminator at full resolution; null without one. */
  readonly confidence: Bytes | null;
}

/** The mask of a fine stage in its regions, `rois`, slice by slice. `probability`: also give the probabilities. */
export async function predictRois(
  predictor: Predictor,
  scan: ScanSlices,
  rois: CaseRois,
  onSlices: OnSlices,
  { probability: wanted = false } = {},
): Promise<InRegions> {
  const [S, H, W] = scan.shape;
  const volume = () => new Uint8Array(S * H * W);
  const plane = predictor.size ** 2;
  const mask = volume();
  const probability = wanted ? volume() : null;
  const confidence = predictor.judged ? volume() : null;
  const use = (s: number, said: Said) => {
    const inside = said.probabilities.subarray(plane, 2 * plane);
    const at = { to: [H, W], offset: s * H * W } as const;
    restoreRoi(inside, rois[s]!, { ...at, out: mask, write: "mask" });
    if (probability) restoreRoi(inside, rois[s]!, { ...at, out: probability, write: "byte" });
    if (confidence) restoreRoi(said.confidence!, rois[s]!, { ...at, out: confidence, write: "byte" });
  };
  await predictor.run(scan, rois, use, onSlices);
  return { mask, probability, confidence };
}
