// copy.wgsl: the bits of one tensor into another of the same size, whatever their type.
//
//   y[i] = x[i]
//
// x, y      [n]   read as vec4; buffers are padded to 16 bytes
// grid      linear, one thread per four elements, folded at 65,535 workgroups
// used by src/nn/optim/optimizer.ts

const WG: u32 = 64;   // threads per workgroup

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<u32>>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  y[i] = x[i];
}
