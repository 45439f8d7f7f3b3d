// The stages of the cascade as data: what each network looks for, and where.

import { stageNames, type StageName } from "./options.ts";

export { stageNames, type StageName } from "./options.ts";

/** A network's task. */
export interface Stage {
  readonly name: StageName | "region";
  /** Names of its classes, background first. */
  readonly classes: readonly string[];
  /** Its class of a label: 0 background, 1 kidney, 2 tumor, 3 cyst. */
  classOf(label: number): number;
  /** The regions of validation Dice: name, and the classes that belong to it. */
  readonly regions: Readonly<Record<string, readonly number[]>>;
}

/** A stage of the cascade that cuts its input from regions of interest. */
export type FineStage = Stage & {
  readonly name: Exclude<StageName, "coarse">;
  /** Labels (of the reference, and of the prediction before it) that its regions must hold. */
  readonly roiLabels: readonly number[];
};

/** Background, kidney and mass on whole slices: the coarse network does not tell tumors from cysts. */
export const coarseStage: Stage = {
  name: "coarse",
  classes: ["background", "kidney", "mass"],
  classOf: (label) => Math.min(label, 2),
  regions: { kidney: [1, 2], masses: [2] },
};

const binary = (
  name: FineStage["name"],
  inside: (label: number) => boolean,
  roiLabels: readonly number[],
): FineStage => ({
  name,
  classes: ["background", name],
  classOf: (label) => Number(inside(label)),
  regions: { [name]: [1] },
  roiLabels,
});

/** Three binary problems (section 2.2 of the paper), kidney meaning kidney and masses, as the challenge scores it. */
export const fineStages: readonly FineStage[] = [
  binary("kidney", (label) => label > 0, [1, 2, 3]),
  binary("masses", (label) => label >= 2, [2, 3]),
  binary("tumor", (label) => label === 2, [2, 3]),
];

/**
 * Not of the cascade: all regions by one network on whole slices. A class lies in as many regions as its number: 1
 * kidney, 2 cyst (a mass), 3 tumor.
 */
export const regionStage: Stage = {
  name: "region",
  classes: ["background", "kidney", "cyst", "tumor"],
  classOf: (label) => [0, 1, 3, 2][label] ?? 0,
  regions: { kidney: [1, 2, 3], masses: [2, 3], tumor: [3] },
};

/** The stages that are named, in running order; null for a name that is not one. */
export function parseStages(text: string): StageName[] | null {
  const named = text.split(",").map((name) => name.trim());
  if (text === "all") return [...stageNames];
  if (named.some((name) => !stageNames.includes(name as StageName))) return null;
  return stageNames.filter((name) => named.includes(name));
}
