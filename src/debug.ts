// How much is printed to standard error: 0 nothing, 1 device and limits, 2 time per kernel at each run, 3 also consts
// and grids, 4 also the WGSL text after specialisation. In Node the environment variable DEBUG sets it; setDebug() does
// in a browser.

let level = fromEnvironment();

function fromEnvironment(): number {
  const value = typeof process === "undefined" ? undefined : process.env.DEBUG;
  return value !== undefined && /^[0-4]$/.test(value) ? Number(value) : 0;
}

/** The current level, 0 to 4. */
export function debugLevel(): number {
  return level;
}

/** Sets the debug level, 0 to 4. */
export function setDebug(value: number): void {
  level = value;
}

/** Prints `text` to standard error from level `minimum` on. */
export function debugLog(minimum: number, text: string): void {
  if (level >= minimum) console.error(text);
}
