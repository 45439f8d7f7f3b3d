// The scan that the page brings along: a case of the synthetic phantom that no shipped network was trained on, drawn here.
import { encodeNifti } from "../../src/kits/nifti_bytes.ts";
import { drawPhantomCase } from "../../src/kits/phantom_case.ts";

const SEED = 2026; // training takes seed 0

/** The sample as a NIfTI file. */
export async function sampleScan(): Promise<File> {
  const { image, geometry } = drawPhantomCase(0, { seed: SEED, slices: 32, size: 128 });
  return new File([await encodeNifti(image, geometry)], "synthetic-phantom.nii.gz");
}
