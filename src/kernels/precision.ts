// How exactly matrix products and convolutions multiply.

import { OptionError } from "../errors.ts";

/** "highest": factors of f32. "high": factors may be rounded to f16. Sums are f32 in both. */
export type MatmulPrecision = "highest" | "high";

const PRECISIONS: readonly MatmulPrecision[] = ["highest", "high"];

let chosen: MatmulPrecision = "highest";

/**
 * Sets how exactly `matmul`, `linear` and convolutions multiply f32 tensors from now on; a step that is already compiled
 * stays as it is. "highest", the default, keeps all 24 bits of the factors. "high" allows matrix units that take f16,
 * which most GPUs have and which are several times faster: factors keep 11 bits, beyond 65,504 they overflow, below
 * 6e-8 they become 0, and sums are still f32. It changes nothing on adapters without such units. Throws OptionError for
 * any other value. Like PyTorch's `torch.set_float32_matmul_precision`, whose "high" takes TF32: 11 bits too, but the
 * range of f32.
 */
export function setMatmulPrecision(precision: MatmulPrecision): void {
  if (!PRECISIONS.includes(precision))
    throw new OptionError(`setMatmulPrecision: the precision must be "highest" or "high", got ${String(precision)}`);
  chosen = precision;
}

/** What `setMatmulPrecision` has set. */
export function matmulPrecision(): MatmulPrecision {
  return chosen;
}
