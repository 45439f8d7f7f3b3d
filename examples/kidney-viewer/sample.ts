// The scan that the page brings along, drawn when it is asked for.
import { encodeNifti } from "../../src/kits/nifti_bytes.ts";
import { drawPhantomCase, type PhantomCase } from "../../src/kits/phantom_case.ts";

/** A case of the synthetic phantom with a tumor. The shipped networks were trained on cases of seed 0. */
export function sampleCase(): PhantomCase {
  return drawPhantomCase(0, { seed: 2026, slices: 32, size: 128 });
}

/** The same as a file that might have been dropped. */
export async function sampleScan(): Promise<File> {
  const { image, geometry } = sampleCase();
  return new File([await encodeNifti(image, geometry)], "synthetic-phantom.nii.gz");
}
