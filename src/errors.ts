// One class per kind of failure. Messages read: what must hold, what was found, and the fix.

/** Base of every error this library throws on purpose. */
export class WgradError extends Error {
  override readonly name: string = "WgradError";
}

/** Shapes or dtypes that do not fit an operation; thrown at the call, before any GPU work. */
export class ShapeError extends WgradError {
  override readonly name = "ShapeError";
}

/** An argument or option outside its range. */
export class OptionError extends WgradError {
  override readonly name = "OptionError";
}

/** A file that is missing, damaged or not what its neighbours say. The message names the file. */
export class DataError extends WgradError {
  override readonly name = "DataError";
}

/** A kernel was asked for a const, buffer or name that its WGSL text does not have, or it does not compile. */
export class KernelError extends WgradError {
  override readonly name = "KernelError";
}

/** No usable adapter, or the one asked for is not there. */
export class AdapterError extends WgradError {
  override readonly name = "AdapterError";
}

/** A loss or gradient in training is an infinity or NaN. Names the step, the layer, the cases and the fixes. */
export class NonfiniteError extends WgradError {
  override readonly name = "NonfiniteError";
}

/** The GPU refused or lost work: a validation error, or one of those below. Names the operation. */
export class GpuError extends WgradError {
  override readonly name: string = "GpuError";
}

/** What reduces the memory of any training step or prediction. */
const SMALLER = "use a smaller batch, image or width, f16 activations, or checkpoint()";

/** The GPU has not the memory that is asked for, or the adapter binds none so large. Other memory is as it was. */
export class OutOfMemoryError extends GpuError {
  override readonly name = "OutOfMemoryError";
  /** What was asked for, and what there is. */
  readonly asked: string;

  constructor(asked: string, fix = SMALLER, options?: ErrorOptions) {
    super(`${asked}; ${fix}`, options);
    this.asked = asked;
  }
}

/** The device is gone (driver reset, unplugged, destroyed); every tensor on it is lost. */
export class DeviceLostError extends GpuError {
  override readonly name = "DeviceLostError";
}
