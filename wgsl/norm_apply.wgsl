// norm_apply.wgsl: the last pass of the normalisations, one scale and shift per (n, c) plane.
//
//   y = act((x - mean) * scale + bias + residual)      act: none or relu
//
// x, y      [P, units] V        P = N*C planes
// residual  [P, units] V        read where RESIDUAL
// saved     [C] or [P] vec4     per channel or per plane: mean, scale = rstd * weight, bias, rstd
// grid      linear, `threads` threads per plane, folded
// numerics  the mean is taken off first, so a large mean does not cancel against the shift
// source    Ioffe and Szegedy 2015, arXiv:1502.03167; Wu and He 2018, arXiv:1803.08494
// used by src/kernels/norm.ts
alias V = vec4<f32>;     // or f32 where the plane is not divisible by 4
const RELU: bool = false;
const RESIDUAL: bool = false;
const WG: u32 = 64;      // threads per workgroup

struct Planes {
  units: u32,     // V per plane
  threads: u32,   // threads per plane
}

@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> saved: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> residual: array<V>;
@group(0) @binding(3) var<storage, read_write> y: array<V>;
var<immediate> p: Planes;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  let plane = i / p.threads;
  if (plane >= arrayLength(&y) / p.units) { return; }
  let s = saved[plane % arrayLength(&saved)];
  for (var u = i % p.threads; u < p.units; u += p.threads) {
    var v = (x[plane * p.units + u] - s.x) * s.y + s.z;
    if (RESIDUAL) { v += residual[plane * p.units + u]; }
    if (RELU) { v = max(v, V(0)); }
    y[plane * p.units + u] = v;
  }
}
