// The pictures of a report: overlays/case_XXXXX.png and overlays.png in the run folder, and the page's grid of cases.

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../atomic.ts";
import { readImage, readLabels } from "../nifti.ts";
import * as overlay from "../overlay.ts";
import { encodeGreyPng, encodeLayerPng, grid, type Picture } from "../picture.ts";
import { fineStages } from "../stages.ts";
import { html, type Content, type Html } from "./html.ts";
import { confidenceFolder } from "./read.ts";

/** Where a case's CT and its reference label lie; `label` is null if there is none. A slice cache is one. */
export interface CaseSources {
  caseById(id: string): { image: string; label: string | null };
}

/** A case with the confidence maps of its stages, [D, H, W] each. */
interface LoadedCase extends overlay.OverlayCase {
  confidence: Map<string, Uint8Array>;
}

const SHEET_CASES = 12;

/**
 * Writes overlays/case_XXXXX.png (its largest slice) per case, and overlays.png with the first twelve cases. One case
 * is in memory at a time. Throws DataError naming the file if a volume cannot be read.
 */
export async function writeOverlays(
  folder: string,
  sources: CaseSources,
  ids: readonly string[],
  options: overlay.PanelOptions = {},
): Promise<void> {
  await mkdir(join(folder, "overlays"), { recursive: true });
  const tiles: Picture[] = [];
  for (const id of ids) {
    const one = await loadCase(folder, sources, id);
    const { largest } = overlay.pickSlices(one.reference.data, one.prediction.data, one.reference.shape);
    const picture = overlay.overlaySlice(sliceWithConfidence(one, largest).slice, options);
    await writeFileAtomic(join(folder, "overlays", `${id}.png`), overlay.encodePng(picture));
    if (tiles.length < SHEET_CASES) tiles.push(overlay.caseTile(one, options).tile);
  }
  if (tiles.length > 0) await writeFileAtomic(join(folder, "overlays.png"), overlay.encodePng(grid(tiles)));
}

/** The two slices of a case worth a look, for the page. */
export async function casePictures(
  folder: string,
  sources: CaseSources,
  id: string,
  options: overlay.PanelOptions,
): Promise<Html> {
  const one = await loadCase(folder, sources, id);
  const { largest, worst, worstErrors } = overlay.pickSlices(
    one.reference.data,
    one.prediction.data,
    one.reference.shape,
  );
  const place = (z: number): string => `slice ${z + 1} of ${one.image.shape[0]}`;
  const pictures = [slicePanels(one, largest, `${place(largest)}: the largest reference area`, options)];
  if (worst !== largest && worstErrors > 0) {
    const errors = worstErrors.toLocaleString("en");
    pictures.push(slicePanels(one, worst, `${place(worst)}: the most errors elsewhere, ${errors} pixels`, options));
  }
  return html`${pictures}`;
}

async function loadCase(folder: string, sources: CaseSources, id: string): Promise<LoadedCase> {
  const source = sources.caseById(id);
  const image = await readImage(source.image);
  const { shape } = image.header;
  const reference = source.label ? (await readLabels(source.label)).data : new Uint8Array(image.data.length);
  const prediction = (await readLabels(join(folder, "predictions", `${id}.nii.gz`))).data;
  const confidence = new Map<string, Uint8Array>();
  for (const { name } of fineStages) {
    const path = join(confidenceFolder(folder, name), `${id}.nii.gz`);
    if (existsSync(path)) confidence.set(name, (await readLabels(path)).data);
  }
  return {
    id,
    image: { data: image.data, shape },
    reference: { data: reference, shape },
    prediction: { data: prediction, shape },
    confidence,
  };
}

/** A slice with the confidence map that says most about it: of the masses where there are some, else of the kidney. */
function sliceWithConfidence(one: LoadedCase, z: number): { slice: overlay.OverlaySlice; stage?: string } {
  const slice = overlay.sliceOf(one, z);
  const [h, w] = slice.size;
  const masses = [slice.reference, slice.prediction].some((labels) => Array.prototype.some.call(labels, (v) => v >= 2));
  for (const stage of masses ? ["masses", "tumor", "kidney"] : ["kidney", "masses", "tumor"]) {
    const confidence = one.confidence.get(stage)?.subarray(z * h * w, (z + 1) * h * w);
    if (confidence?.some((v) => v > 0)) return { slice: { ...slice, confidence }, stage };
  }
  return { slice };
}

/** The CT is in the page once per slice; the layers of the panels lie over it. */
function slicePanels(one: LoadedCase, z: number, title: string, options: overlay.PanelOptions): Html {
  const { slice, stage } = sliceWithConfidence(one, z);
  const { image, reference, prediction, confidence } = overlay.overlayPanels(slice, options);
  const layer = (png: Uint8Array, alt: string): Html => html`<img alt="${alt}" src="${dataUri(png)}">`;
  const figure = (name: string, content: Content): Html =>
    html`<figure><figcaption>${name}</figcaption><div class="panel">${content}</div></figure>`;
  const figures = [
    figure("CT", ""),
    figure("reference", layer(encodeLayerPng(reference), `${one.id}, reference labels`)),
    figure("prediction", layer(encodeLayerPng(prediction), `${one.id}, predicted labels`)),
  ];
  if (confidence) {
    const alt = `${one.id}, confidence of the ${stage} stage`;
    figures.push(figure(`confidence: ${stage}`, layer(encodeLayerPng(confidence), alt)));
  } else if (one.confidence.size > 0) figures.push(figure("confidence: no region", ""));
  return html`<p class="slice">${title}</p>
<div class="panels" style="--ct:url(${dataUri(encodeGreyPng(image))})">
${figures}</div>`;
}

function dataUri(png: Uint8Array): string {
  return `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
}
