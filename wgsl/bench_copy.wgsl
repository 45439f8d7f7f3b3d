// bench_copy.wgsl: a plain copy, for the device's memory ceiling.
//
//   y[i] = x[i]
//
// x, y      [n] f32, read and written as vec4
// grid      linear, one thread per four elements, folded at 65,535 workgroups
// numerics  exact
// source    own work
// used by bench/ceiling.ts
const WG: u32 = 64;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  y[i] = x[i];
}
