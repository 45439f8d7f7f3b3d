// The datasets that are known, in the order in which they are tried: the most specific first.
import type { DatasetSpec } from "./dataset.ts";
import { kits19 } from "./kits19.ts";
import { kits21 } from "./kits21.ts";
import { kits23 } from "./kits23.ts";
import { phantom } from "./phantom.ts";
import { plain } from "./plain.ts";

/** Every dataset, `plain` last since it takes anything. */
export const datasets: readonly DatasetSpec[] = [phantom, kits21, kits23, kits19, plain];
