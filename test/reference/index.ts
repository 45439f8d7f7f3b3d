// Every reference under the name of the operation it checks: `import * as reference from "./reference/index.ts"`.
export * from "./array.ts";
export * from "./blocks.ts";
export { conv, convTranspose } from "./conv.ts";
export * from "./elementwise.ts";
export * from "./interpolate.ts";
export * from "./losses.ts";
export * from "./matmul.ts";
export * from "./norm.ts";
export * from "./optim.ts";
export * from "./pool.ts";
export * from "./reduce.ts";
export * from "./shape.ts";
