// norm_backward_apply.wgsl: gradient of a normalisation with respect to its input.
//
//   dx = coef.x * g + coef.y * (x - mean) + coef.z
//   g = dy, or with RELU dy where the forward output is above 0; dresidual = g
//
// x, dy, dx  [P, units] V        P = N*C planes
// output, dresidual  [P, units] V     the forward output, and the gradient of what was added; touched where RESIDUAL
// saved      [C] or [P] vec4     per channel or per plane: mean, scale, bias, rstd as norm_apply.wgsl used them
// coef       same length as saved, from *_norm_backward_finalise.wgsl
// grid       linear, `threads` threads per plane, folded
// numerics   f32; the mean is taken off x first
// source     Ioffe and Szegedy 2015, arXiv:1502.03167; Wu and He 2018, arXiv:1803.08494
// used by src/kernels/norm.ts
alias V = vec4<f32>;     // or f32 where the plane is not divisible by 4
const RELU: bool = false;
const RESIDUAL: bool = false;   // with RELU, when the forward pass added something before it
const WG: u32 = 64;      // threads per workgroup

struct Planes {
  units: u32,     // V per plane
  threads: u32,   // threads per plane
}

@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> saved: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> coef: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dy: array<V>;
@group(0) @binding(4) var<storage, read> output: array<V>;
@group(0) @binding(5) var<storage, read_write> dx: array<V>;
@group(0) @binding(6) var<storage, read_write> dresidual: array<V>;
var<immediate> p: Planes;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  let plane = i / p.threads;
  if (plane >= arrayLength(&dx) / p.units) { return; }
  let entry = plane % arrayLength(&saved);
  let s = saved[entry];
  let k = coef[entry];
  for (var u = i % p.threads; u < p.units; u += p.threads) {
    let d = x[plane * p.units + u] - s.x;
    var g = dy[plane * p.units + u];
    if (RESIDUAL) {
      g = select(V(0), g, output[plane * p.units + u] > V(0));
      dresidual[plane * p.units + u] = g;
    } else if (RELU) {
      g = select(V(0), g, d * s.y + s.z > V(0));
    }
    dx[plane * p.units + u] = g * k.x + d * k.y + k.z;
  }
}
