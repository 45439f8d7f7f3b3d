// Everything the library reads from files, in the order of the table. It reads no PNG: those it writes are for people.

import { cacheReused, sliceCache } from "./cache.ts";
import { checkpoint, safetensors, stateText, trainingState } from "./checkpoints.ts";
import type { Format } from "./format.ts";
import { choices, lock } from "./machine.ts";
import { gzip, nifti } from "./nifti.ts";
import { checksums, datasetJson, splitsFinal } from "./nnunet.ts";
import { logTrimmed, report, roisJson, runJson, splitsJson } from "./runFiles.ts";
import { volumesJson } from "./volumes.ts";

export const formats: readonly Format[] = [
  ...[nifti, gzip],
  ...[safetensors, checkpoint, trainingState, stateText],
  ...[sliceCache, cacheReused],
  ...[runJson, splitsJson, roisJson, report, logTrimmed],
  ...[splitsFinal, datasetJson, checksums],
  ...[volumesJson],
  ...[choices, lock],
];
