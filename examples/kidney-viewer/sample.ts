// The scan that the page brings along, drawn when it is asked for.
import { drawPhantomCase, encodeNifti, type PhantomCase } from "../../src/kits/browser.ts";

/** A case of the synthetic phantom with a tumor. The shipped networks were trained on cases of seed 0. */
export function sampleCase(): PhantomCase {
  return drawPhantomCase(0, { seed: 2026, slices: 32, size: 128 });
}

/** The same as a file that might have been dropped. */
export async function sampleScan(): Promise<File> {
  const { image, geometry } = sampleCase();
  return new File([await encodeNifti(image, geometry)], "synthetic-phantom.nii.gz");
}
