// Segments scans on the GPU, away from the page's own thread. It loads the model when it starts and ends with terminate().
import { init } from "../../src/index.ts";
import { encodeNifti, openSegmenter, parseImage, volumesMl } from "../../src/kits/browser.ts";
import type { Segmenter, SegmentProgress } from "../../src/kits/browser.ts";
import { fetchModel } from "./model.ts";
import type { Answer, Request, Result } from "./messages.ts";
import { centreOf } from "./centre.ts";

const stages: Readonly<Record<SegmentProgress["stage"], string>> = {
  slices: "reading the slices",
  coarse: "looking for kidneys",
  kidney: "outlining kidneys",
  masses: "looking for masses",
  tumor: "telling tumors from cysts",
  labels: "putting the labels together",
};

const tell = (answer: Answer, transfer: Transferable[] = []): void => self.postMessage(answer, { transfer });

const ready = start();
ready.catch(tellError);
self.onmessage = ({ data }: MessageEvent<Request>) => void answer(data).catch(tellError);

async function start(): Promise<Segmenter> {
  const { name, vendor, software } = await init();
  tell({
    kind: "ready",
    adapter: [vendor, name].filter((part, i, all) => part && all.indexOf(part) === i).join(" "),
    software,
  });
  const model = await fetchModel(new URL("model/", self.location.href));
  tell({ kind: "model", facts: model.facts });
  return openSegmenter(model.options, model.weights);
}

async function answer({ bytes, name }: Request): Promise<void> {
  const segmenter = await ready;
  const started = performance.now();
  const scan = await parseImage(new Uint8Array(bytes), name);
  const { labels, classes } = await segmenter.segment(scan, {
    onProgress: ({ stage, done, total }) => tell({ kind: "progress", stage: stages[stage], done, total }),
  });
  const seconds = (performance.now() - started) / 1000;
  const file = await (await encodeNifti(labels, scan.header, { like: scan.header.raw })).arrayBuffer();
  const millilitres = volumesMl(labels, scan.header.spacing, classes.length);
  const result: Result = { labels: file, classes, millilitres, centre: centreOf(labels, scan.header), seconds };
  tell({ kind: "result", result }, [file]);
}

function tellError(error: Error): void {
  tell({ kind: "error", name: error.name, message: error.message });
}
