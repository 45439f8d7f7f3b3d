// grad_scale.wgsl: up to three gradients scaled by, or clamped to, a number on the GPU; notes what is not finite.
//
//   OP 0: y = g * by[0];   OP 1: y = clamp(g, -by[0], by[0])
//   OP 2: y = g / by[0], and found[0] = 1 if any g is not finite
//
// g0, g1, g2   f32, any sizes, COUNT of them; y0, y1, y2 of the same sizes; by [1] f32
// found     [1] u32   set, never cleared; untouched where OP is below 2
// grid      linear over the longest, one thread per element of each, folded at 65,535 workgroups
// numerics  an infinity or NaN is known by its exponent bits, never by a comparison
// source    PyTorch, `clip_grad_norm_`, `clip_grad_value_` and `GradScaler`
// used by src/nn/optim/clip.ts, for GradScaler as well

const WG: u32 = 64;        // threads per workgroup
const OP: u32 = 0;
const COUNT: u32 = 3;      // gradients bound

@group(0) @binding(0) var<storage, read> by: array<f32>;
@group(0) @binding(1) var<storage, read> g0: array<f32>;
@group(0) @binding(2) var<storage, read> g1: array<f32>;
@group(0) @binding(3) var<storage, read> g2: array<f32>;
@group(0) @binding(4) var<storage, read_write> y0: array<f32>;
@group(0) @binding(5) var<storage, read_write> y1: array<f32>;
@group(0) @binding(6) var<storage, read_write> y2: array<f32>;
@group(0) @binding(7) var<storage, read_write> found: array<atomic<u32>>;

fn changed(v: f32) -> f32 {
  switch OP {
    case 0: { return v * by[0]; }
    case 1: { return clamp(v, -by[0], by[0]); }
    default: {
      if ((bitcast<u32>(v) & 0x7f800000u) == 0x7f800000u) { atomicStore(&found[0], 1u); }
      return v / by[0];
    }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i < arrayLength(&y0)) { y0[i] = changed(g0[i]); }
  if (COUNT > 1 && i < arrayLength(&y1)) { y1[i] = changed(g1[i]); }
  if (COUNT > 2 && i < arrayLength(&y2)) { y2[i] = changed(g2[i]); }
}
