// f16 where a run asks for it and the adapter can.

import { hasF16, setMatmulPrecision } from "../index.ts";
import { stageNames, type RunOptions } from "./options.ts";

/** Where f16 is wanted: matrix units may take it too; on an adapter without it the networks run in f32, and `say` is told. */
export function settlePrecision(options: RunOptions, say: (text: string) => void): void {
  const wanted = stageNames.filter((name) => options[name].precision === "f16");
  if (wanted.length === 0) return;
  if (hasF16()) return setMatmulPrecision("high");
  say("precision: this adapter has no f16 (WebGPU's shader-f16); the networks run in f32");
  for (const name of wanted) options[name].precision = "f32";
}
