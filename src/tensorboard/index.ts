// Event files for TensorBoard: a writer for Node, and the encoding on its own.

export * from "./event.ts";
export * from "./histogram.ts";
export * from "./records.ts";
export * from "./summaryWriter.ts";
