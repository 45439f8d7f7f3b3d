// How images and labels are shown, in train.js as in page.js.

/** Of the classes, as bytes. */
export const COLOURS = [
  [24, 26, 32],
  [86, 180, 233],
  [230, 159, 0],
];

/** A brightness, mostly 0 to 1, as bytes. */
export function gray(value) {
  const byte = Math.max(0, Math.min(255, Math.round(255 * value)));
  return [byte, byte, byte];
}
