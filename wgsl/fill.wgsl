// fill.wgsl: every element equal to a constant.
//
//   y[i] = VALUE
//
// y         [n] T   any shape
// grid      linear, one thread per element, folded at 65,535 workgroups
// numerics  exact
// source    own work
// used by src/tensor.ts
alias T = f32;
const VALUE = T(0);   // the value, already of type T
const WG: u32 = 256;  // threads per workgroup

@group(0) @binding(0) var<storage, read_write> y: array<T>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  y[i] = VALUE;
}
