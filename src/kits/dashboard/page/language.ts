// Chromium under a POSIX locale names a language that Intl refuses ("en-US@posix"), and uPlot asks Intl for it while it loads.

try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en-US" });
}
