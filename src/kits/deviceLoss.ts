// A GPU that is lost (driver reset, sleep) and comes back.

import { DeviceLostError } from "../errors.ts";

export interface Reopening {
  readonly say: (text: string) => void;
  /** Opens the GPU again after it was lost. */
  readonly reopen: () => Promise<void>;
}

/** Losses of the GPU in one stage, or one scan, after which the run ends. */
const MAX_LOSSES = 3;

/**
 * Does a stage's work. Where the GPU is lost, opens it anew and lets the work go on `again` from its last training state;
 * where its memory is too small, that would not help.
 */
export async function outlivingLosses<T>({ say, reopen }: Reopening, work: (again: boolean) => Promise<T>): Promise<T> {
  for (let losses = 0; ; losses++) {
    try {
      return await work(losses > 0);
    } catch (error) {
      if (!(error instanceof DeviceLostError) || losses === MAX_LOSSES) throw error;
      say(`warning: ${error.message}. Opening it again (${losses + 1} of at most ${MAX_LOSSES} times)`);
      await reopen();
    }
  }
}
