// group_norm_affine_backward.wgsl: weight and bias gradients of group and instance normalisation.
//
//   dweight[c] = sum over n of rstd[n,c] * sum g * (x - mean)      dbias[c] = sum g
//
// partial         [N, C, T] vec2   sum g and sum g * (x - mean) of a slice
// saved           [N, C] vec4      mean, scale, bias, rstd
// dweight, dbias  [C] f32
// grid            one workgroup per channel, a fixed tree
// numerics        f32; slices are joined in a fixed tree
// source          Wu and He 2018, arXiv:1803.08494
// used by src/kernels/norm.ts
const T: u32 = 4;          // slices per plane
const C: u32 = 1;          // channels
const WG: u32 = 64;        // threads per workgroup
const_assert (WG & (WG - 1)) == 0;   // the tree halves WG

@group(0) @binding(0) var<storage, read> partial: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> saved: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dbias: array<f32>;

var<workgroup> sh_sums: array<vec2<f32>, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let c = group.x;
  let t = local.x;
  let slices = arrayLength(&partial) / C;
  var sums = vec2<f32>(0.0);
  for (var i = t; i < slices; i += WG) {
    let plane = (i / T) * C + c;
    sums += vec2<f32>(1.0, saved[plane].w) * partial[plane * T + i % T];
  }
  sh_sums[t] = sums;
  for (var half = WG / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (t < half) { sh_sums[t] += sh_sums[t + half]; }
  }
  if (t != 0) { return; }
  dbias[c] = sh_sums[0].x;
  dweight[c] = sh_sums[0].y;
}
