// difficulty.wgsl: the weight of every pixel from the confidence map of a discriminator.
//
//   y[i] = (1 - M)^POWER + |1 - M|                     M = confidence[i]
//
// confidence, y   [n] f32
// grid      linear, one thread per element, folded at 65,535 workgroups
// numerics  pow of a base of at least 1e-30; POWER 2 is a product
// source    MSALDS-UNet, equation 2
// used by src/kernels/loss/difficulty.ts

const WG: u32 = 64;            // threads per workgroup
const POWER: f32 = 2.0;

@group(0) @binding(0) var<storage, read> confidence: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  let d = abs(1.0 - confidence[i]);
  if (POWER == 2.0) {
    y[i] = d * d + d;
  } else {
    y[i] = pow(max(d, 1e-30), POWER) + d;
  }
}
