// conv_bias_grad.wgsl: gradient of a convolution's bias, the sum of dy over images and voxels.
//
//   db[split,c] = sum of dy[n,c,s] over the elements (n, s) of one split
//
// dy        [N, C, S] f32        C channels of S = D*H*W voxels
// db        [SPLITS, C] f32, summed over SPLITS by conv_reduce.wgsl in a fixed order
// grid      [C, SPLITS]: one workgroup per channel and split
// numerics  each thread adds every WG-th element, then a tree over the workgroup
// source    own work
// used by src/kernels/convRun.ts
const WG: u32 = 64;        // threads per workgroup

struct Planes {
  channels: u32,
  size: u32,   // voxels per plane
  half: u32,   // WG / 2; a number from outside keeps the tree a loop: little code
}

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> db: array<f32>;

var<immediate> p: Planes;

var<workgroup> sh_sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let count = arrayLength(&dy) / p.channels;
  let chunk = (count + groups.y - 1) / groups.y;
  let end = min((id.y + 1) * chunk, count);
  var sum = 0.0;
  for (var i = id.y * chunk + local; i < end; i += WG) {
    sum += dy[(i / p.size * p.channels + id.x) * p.size + i % p.size];
  }
  sh_sums[local] = sum;
  for (var half = p.half; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) { sh_sums[local] += sh_sums[local + half]; }
  }
  if (local == 0) { db[id.y * p.channels + id.x] = sh_sums[0]; }
}
