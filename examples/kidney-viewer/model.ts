// A trained run as the page serves it: run.json and the weights of its networks.
import { decodeSafetensors, type StateDict } from "../../src/nn/index.ts";
import { stageNames, type CascadeWeights, type RunOptions } from "../../src/kits/browser.ts";
import type { ModelFacts } from "./messages.ts";

export interface Model {
  readonly options: RunOptions;
  readonly weights: CascadeWeights;
  readonly facts: ModelFacts;
}

/** What is read of run.json. */
interface Run {
  readonly preset: string;
  readonly options: RunOptions;
  readonly data: { readonly note: string };
  readonly trained?: Readonly<Record<string, unknown>>;
}

/** Loads a run from below `folder`, laid out as a run folder. Throws an Error that names the file that is missing. */
export async function fetchModel(folder: URL): Promise<Model> {
  const run = (await (await fetchFile(new URL("run.json", folder))).json()) as Run;
  const weights: Record<string, { model: StateDict } | "absent"> = {};
  let bytes = 0;
  for (const stage of stageNames) {
    if (run.trained?.[stage] === "absent") weights[stage] = "absent";
    else if (run.trained?.[stage]) {
      const file = `checkpoints/${stage}/best.safetensors`;
      const content = new Uint8Array(await (await fetchFile(new URL(file, folder))).arrayBuffer());
      weights[stage] = { model: decodeSafetensors(content, file).tensors };
      bytes += content.length;
    }
  }
  return { options: run.options, weights, facts: { preset: run.preset, note: run.data.note, bytes } };
}

async function fetchFile(url: URL): Promise<Response> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} is not there (${response.status}); build the page again`);
  return response;
}
