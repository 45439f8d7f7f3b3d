// plane_fill.wgsl: one value for every (n, c) plane.
//
//   y = FACTOR * value[p]
//
// value     [P] f32          P = N*C planes
// y         [P, UNITS] V
// grid      linear, T threads per plane, folded
// numerics  f32, one multiplication
// source    own work
// used by src/kernels/planes.ts
alias V = vec4<f32>;     // or f32 where the plane is not divisible by 4
const UNITS: u32 = 64;   // V per plane
const T: u32 = 4;        // threads per plane
const FACTOR: f32 = 1.0;
const WG: u32 = 64;      // threads per workgroup

@group(0) @binding(0) var<storage, read> value: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<V>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  let plane = i / T;
  if (plane >= arrayLength(&value)) { return; }
  let v = V(FACTOR * value[plane]);
  for (var u = plane * UNITS + i % T; u < (plane + 1) * UNITS; u += T) { y[u] = v; }
}
