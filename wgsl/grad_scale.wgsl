// grad_scale.wgsl: up to three gradients scaled by, or clamped to, a number on the GPU; notes values that are not finite.
//
//   OP 0: y = g * by[0];   OP 1: y = clamp(g, -by[0], by[0]);   OP 2: y = g / by[0], and found[0] = 1 if any g is not finite
//
// g0, g1, g2   f32, any sizes, read as vec4 (buffers are padded); y0, y1, y2 of the same sizes; by [1] f32
// found     [1] u32   set, never cleared; bound to anything else where OP is below 2
// numerics  an infinity or NaN is known by its exponent bits, never by a comparison; padding is left out of that
// grid      linear over the longest, one thread per vec4, folded at 65,535 workgroups
// used by src/nn/optim/clip.ts, src/nn/gradScaler.ts

const WG: u32 = 64;        // threads per workgroup
const OP: u32 = 0;
const COUNT: u32 = 3;      // gradients bound
