// plane_sum.wgsl: sums over slices of every (n, c) plane, of a or of a * b.
//
//   partial[p,t] = sum of a (with PRODUCT of a * b) over the units t, t + threads, t + 2 threads, ... of plane p
//
// a, b      [P, units] V     P = N*C planes; b is bound to anything without PRODUCT
// partial   [P, threads] f32
// grid      linear, one thread per slice, folded; neighbours read neighbouring units and no thread waits for another
// numerics  f32; each thread adds in order
// source    own work
// used by src/kernels/planes.ts
alias V = vec4<f32>;     // or f32 where the plane is not divisible by 4
const LANES: u32 = 4;    // values per V
const PRODUCT: bool = false;
const WG: u32 = 64;      // threads per workgroup

struct Planes {
  units: u32,     // V per plane
  threads: u32,   // threads per plane
}

@group(0) @binding(0) var<storage, read> a: array<V>;
@group(0) @binding(1) var<storage, read> b: array<V>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;
var<immediate> p: Planes;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&partial)) { return; }
  let base = (i / p.threads) * p.units;
  var sum = V(0);
  for (var u = i % p.threads; u < p.units; u += p.threads) {
    if (PRODUCT) { sum += a[base + u] * b[base + u]; } else { sum += a[base + u]; }
  }
  partial[i] = dot(vec4<f32>(sum), vec4<f32>(f32(LANES) / 4.0));   // vec4(f32) repeats the value four times
}
