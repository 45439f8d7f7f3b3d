// accumulate.wgsl: the sum of two gradients that meet at one tensor.
//
//   y[i] = a[i] + b[i]
//
// a, b, y   [n] f32   same shape, read as vec4; buffers are padded to 16 bytes
// grid      linear, one thread per four elements, folded at 65,535 workgroups
// numerics  one f32 addition per element
// source    own work
// used by src/autograd.ts
const WG: u32 = 64;   // threads per workgroup

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  y[i] = a[i] + b[i];
}
