// norm_moments.wgsl: mean and sum of squared deviations of slices of every plane, the first pass of normalisations.
//
//   partial[plane*threads + t] = (mean, sum (x - mean)^2) over the units t, t + threads, t + 2 threads, ... of a plane
//
// x         [P, units] V          P = N*C planes of units*LANES values
// partial   [P, threads] vec2<f32>
// grid      linear, one thread per slice, folded; neighbours read neighbouring units and no thread waits for another
// numerics  Welford's update per lane, then the lanes are combined by Chan's rule: no cancellation for large means
// source    Chan, Golub and LeVeque 1983, "Algorithms for Computing the Sample Variance"
// used by src/kernels/norm.ts
alias V = vec4<f32>;     // or f32 where the plane is not divisible by 4
const LANES: u32 = 4;    // values per V
const WG: u32 = 64;      // threads per workgroup

struct Planes {
  units: u32,     // V per plane
  threads: u32,   // threads per plane
}

@group(0) @binding(0) var<storage, read> x: array<V>;
@group(0) @binding(1) var<storage, read_write> partial: array<vec2<f32>>;
var<immediate> p: Planes;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&partial)) { return; }
  let base = (i / p.threads) * p.units;
  var mean = V(0);
  var squares = V(0);
  var count = 0.0;
  for (var u = i % p.threads; u < p.units; u += p.threads) {
    let v = x[base + u];
    let d = v - mean;
    count += 1.0;
    mean += d * (1.0 / count);
    squares += d * (v - mean);
  }
  // vec4(f32) repeats the value, so both forms of V take the same path: SHARE undoes the repetition.
  const SHARE = f32(LANES) / 4.0;
  let means = vec4<f32>(mean);
  let middle = dot(means, vec4<f32>(0.25));
  let apart = means - middle;
  partial[i] = vec2<f32>(middle, dot(vec4<f32>(squares), vec4<f32>(SHARE)) + count * dot(apart, apart));
}
