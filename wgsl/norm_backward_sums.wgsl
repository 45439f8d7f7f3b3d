// norm_backward_sums.wgsl: the two sums that every normalisation gradient needs, over slices of every (n, c) plane.
//
//   partial[plane*threads + t] = (sum g, sum g * (x - mean)) over the units t, t + threads, t + 2 threads, ... of a plane
//   g = dy, or with RELU dy where the forward output is above 0
//
// x, dy     [P, units] V        P = N*C planes
// output    [P, units] V        the forward output, read where RESIDUAL; otherwise it is computed from x
// saved     [C] or [P] vec4     per channel or per plane: mean, scale, bias, rstd as norm_apply.wgsl used them
// partial   [P, threads] vec2<f32>
// grid      linear, one thread per slice, folded
// numerics  f32; the mean is taken off x first; each thread adds in order
// source    Ioffe and Szegedy 2015, arXiv:1502.03167; Wu and He 2018, arXiv:1803.08494
// used by src/kernels/norm.ts
alias V = vec4<f32>;     // or f32 where the plane is not divisible by 4
const LANES: u32 = 4;    // values per V
const RELU: bool = false;
const RESIDUAL: bool = false;   // with RELU, when the forward pass added something before it
const WG: u32 = 64;      // threads per workgroup

struct Planes {
  units: u32,     // V per plane
  threads: u32,   // threads per plane
}

@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read> saved: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<V>;
@group(0) @binding(3) var<storage, read> output: array<V>;
@group(0) @binding(4) var<storage, read_write> partial: array<vec2<f32>>;
var<immediate> p: Planes;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&partial)) { return; }
  let plane = i / p.threads;
  let s = saved[plane % arrayLength(&saved)];
  var sum = V(0);
  var product = V(0);
  for (var u = i % p.threads; u < p.units; u += p.threads) {
    let d = x[plane * p.units + u] - s.x;
    var g = dy[plane * p.units + u];
    if (RESIDUAL) { g = select(V(0), g, output[plane * p.units + u] > V(0)); }
    else if (RELU) { g = select(V(0), g, d * s.y + s.z > V(0)); }
    sum += g;
    product += g * d;
  }
  const SHARE = vec4<f32>(f32(LANES) / 4.0);   // vec4(f32) repeats the value four times
  partial[i] = vec2<f32>(dot(vec4<f32>(sum), SHARE), dot(vec4<f32>(product), SHARE));
}
