// Every operation, by family.

export * from "./unary.ts";
export * from "./binary.ts";
export * from "./reduce.ts";
export * from "./softmax.ts";
export * from "./random.ts";
export * from "./dropout.ts";
export * from "./matmul.ts";
export * from "./layout.ts";
export * from "./norm.ts";
export * from "./pool.ts";
export * from "./squeezeExcitation.ts";
export * from "./interpolate.ts";
export * from "./conv.ts";
export * from "./convTranspose.ts";
export * from "./loss/bce.ts";
export * from "./loss/crossEntropy.ts";
export * from "./loss/dice.ts";
export * from "./loss/difficulty.ts";
export * from "./loss/regression.ts";
