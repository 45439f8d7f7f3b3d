// conv_bias_grad.wgsl: gradient of a convolution's bias, the sum of dy over images and voxels.
//
//   db[split,c] = sum of dy[n,c,s] over the elements (n, s) of one split
//
// dy        [N, C, S] f32        S = D*H*W voxels
// db        [SPLITS, C] f32, summed over SPLITS by conv_reduce.wgsl in a fixed order
// grid      [C, SPLITS]: one workgroup per channel and split
// numerics  each thread adds every WG-th element, then a tree over the workgroup
// source    own work
// used by src/kernels/convRun.ts
const WG: u32 = 64;        // threads per workgroup
const C: u32 = 3;
const S: u32 = 64;
const_assert (WG & (WG - 1)) == 0;   // the tree halves WG

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> db: array<f32>;

var<workgroup> sh_sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let count = arrayLength(&dy) / C;
  let chunk = (count + groups.y - 1) / groups.y;
  let end = min((id.y + 1) * chunk, count);
  var sum = 0.0;
  for (var i = id.y * chunk + local; i < end; i += WG) {
    sum += dy[(i / S * C + id.x) * S + i % S];
  }
  sh_sums[local] = sum;
  for (var half = WG / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) { sh_sums[local] += sh_sums[local + half]; }
  }
  if (local == 0) { db[id.y * C + id.x] = sh_sums[0]; }
}
