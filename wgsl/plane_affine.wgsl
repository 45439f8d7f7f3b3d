// plane_affine.wgsl: one scale and one shift for every (n, c) plane.
//
//   y = x * scale[p] + shift[p]
//
// x, y          [P, units] V     P = N*C planes
// scale, shift  [P] f32          shift is bound to anything where SHIFT is false, and is 0 then
// grid          linear, `threads` threads per plane, folded
// numerics      f32, one multiplication and one addition
// source        own work
// used by src/kernels/planes.ts
alias V = vec4<f32>;     // or f32 where the plane is not divisible by 4
const SHIFT: bool = true;
const WG: u32 = 64;      // threads per workgroup

struct Planes {
  units: u32,     // V per plane
  threads: u32,   // threads per plane
}

@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> shift: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<V>;
var<immediate> p: Planes;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  let plane = i / p.threads;
  if (plane >= arrayLength(&y) / p.units) { return; }
  let a = scale[plane];
  var b = 0.0;
  if (SHIFT) { b = shift[plane]; }
  for (var u = plane * p.units + i % p.threads; u < (plane + 1) * p.units; u += p.threads) { y[u] = x[u] * a + b; }
}
