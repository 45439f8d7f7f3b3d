// sum_slices.wgsl: adds partial sums up.
//
//   y[m] = sum over k of x[k,m]
//
// x         [K, M] f32
// y         [M] f32
// grid      linear, one thread per element of y, folded; added in order, so the bits repeat
// numerics  f32
// source    own work
// used by src/kernels/layerNorm.ts
const WG: u32 = 64;        // threads per workgroup

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let m = id.y * (groups.x * WG) + id.x;
  let size = arrayLength(&y);
  if (m >= size) { return; }
  var sum = 0.0;
  for (var i = m; i < arrayLength(&x); i += size) { sum += x[i]; }
  y[m] = sum;
}
