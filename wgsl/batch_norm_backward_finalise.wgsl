// batch_norm_backward_finalise.wgsl: weight and bias gradients of batch normalisation, and the coefficients of dx.
//
//   S1 = sum g    S2 = sum g * (x - mean)    dbias = S1    dweight = rstd * S2
//   coef = weight * rstd * (1, -rstd^2 * S2 / M, -S1 / M)     M values per channel
//   without TRAINING the statistics are constants: coef = (weight * rstd, 0, 0)
//
// partial         [N, C, T] vec2   S1 and S2 of a slice
// saved           [C] vec4         mean, scale = rstd * weight, bias, rstd
// coef            [C] vec4         dx = coef.x * g + coef.y * (x - mean) + coef.z
// dweight, dbias  [C] f32
// grid            one workgroup per channel, a fixed tree
// numerics        f32; slices are joined in a fixed tree
// source          Ioffe and Szegedy 2015, arXiv:1502.03167
// used by src/kernels/norm.ts
const TRAINING: bool = true;
const WG: u32 = 64;        // threads per workgroup

struct Planes {
  size: u32,       // values per plane
  slices: u32,     // per plane
  channels: u32,
  half: u32,       // of the threads that have a sum, rounded up; a number from outside keeps the tree a loop: little code
}

@group(0) @binding(0) var<storage, read> partial: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> saved: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> coef: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(4) var<storage, read_write> dbias: array<f32>;
var<immediate> p: Planes;

var<workgroup> sh_sums: array<vec2<f32>, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let c = group.x;
  let t = local.x;
  let slices = arrayLength(&partial) / p.channels;
  var sums = vec2<f32>(0.0);
  for (var i = t; i < slices; i += WG) { sums += partial[((i / p.slices) * p.channels + c) * p.slices + i % p.slices]; }
  sh_sums[t] = sums;
  for (var half = p.half; half > 0; half /= 2) {
    workgroupBarrier();
    if (t < half) { sh_sums[t] += sh_sums[t + half]; }
  }
  if (t != 0) { return; }
  sums = sh_sums[0];
  let s = saved[c];
  let per = 1.0 / f32((slices / p.slices) * p.size);
  dweight[c] = s.w * sums.y;
  dbias[c] = sums.x;
  var k = vec4<f32>(s.y, 0.0, 0.0, 0.0);
  if (TRAINING) {
    k.y = -s.y * s.w * s.w * sums.y * per;
    k.z = -s.y * sums.x * per;
  }
  coef[c] = k;
}
