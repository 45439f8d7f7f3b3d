// What a dataset is: data only. One file per dataset beside this one, one line each in registry.ts.
import type { Regions } from "../metrics.ts";

/** How one published dataset names its files and labels. */
export interface DatasetSpec {
  name: string;
  title: string;
  /** Label values and their meaning; index = value. */
  labels: readonly string[];
  /** Regions that are scored, each a union of labels. */
  regions: Regions;
  /** Names of the label file in a case folder, without .nii or .nii.gz; the first that exists is taken. */
  labelFiles: readonly string[];
  /** Folders below the given one where the cases may lie, as published. */
  caseFolders: readonly string[];
  /** Cases that are published without a label: they are left out instead of reported. */
  unlabelled?: (id: string) => boolean;
  license: string;
  /** True if the tree is this dataset and no other. */
  detect: (tree: Tree) => boolean;
}

/** What detection may look at. */
export interface Tree {
  /** Folder that holds the case folders. */
  folder: string;
  /** Names in `folder` and in the folder that the user gave. */
  names: ReadonlySet<string>;
  caseIds: readonly string[];
  /** Names inside the first case folder that holds a label. */
  caseNames: ReadonlySet<string>;
}

/** One case: absolute paths. `label` is null where only the image exists. */
export interface CaseFiles {
  id: string;
  image: string;
  label: string | null;
}

/** An opened dataset. */
export interface Dataset {
  spec: DatasetSpec;
  /** The folder that was given. */
  root: string;
  /** True for the built-in phantom: every report must say so. */
  synthetic: boolean;
  /** Sorted by id. */
  cases: CaseFiles[];
}
