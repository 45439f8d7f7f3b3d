// Every operation that has an ONNX form, by the name it tells (src/observe.ts).

import type { Emit } from "../graph.ts";
import { elementwise } from "./elementwise.ts";
import { layout } from "./layout.ts";
import { norms } from "./norm.ts";
import { reductions } from "./reduce.ts";
import { windows } from "./window.ts";

export const operations: Readonly<Record<string, Emit>> = {
  ...elementwise,
  ...layout,
  ...norms,
  ...reductions,
  ...windows,
};
