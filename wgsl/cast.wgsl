// cast.wgsl: the same numbers in another type.
//
//   y[i] = TO(x[i])         f32 to an integer cuts the fraction off and stops at the ends of the range
//
// x         [n] FROM      y [n] TO      read as vec4; buffers are padded to 16 bytes
// grid      linear, one thread per four elements, folded at 65,535 workgroups
// numerics  WGSL's value conversions
// source    own work
// used by src/tensor.ts
alias FROM = f32;
alias TO = i32;
const WG: u32 = 64;    // threads per workgroup

@group(0) @binding(0) var<storage, read> x: array<vec4<FROM>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<TO>>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  y[i] = vec4<TO>(x[i]);
}
