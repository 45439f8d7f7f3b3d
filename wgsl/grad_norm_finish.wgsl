// grad_norm_finish.wgsl: the norm of all gradients, and the factor that brings it to at most a maximum.
//
//   norm = sqrt(sum of partials);   factor = min(1, maximum / (norm + 1e-6))
//
// partials  [groups] f32, left by grad_norm.wgsl     maximum [1] f32
// norm, factor   [1] f32
// grid      one workgroup; always the same order of additions
// numerics  f32
// source    PyTorch, clip_grad_norm_
// used by src/nn/optim/clip.ts

const WG: u32 = 256;       // threads per workgroup
const_assert WG == 256;    // two rounds of 16 sum a workgroup

@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read> maximum: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> factor: array<f32>;

var<workgroup> sh_sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) local: u32) {
  var sum = 0.0;
  for (var i = local; i < arrayLength(&partials); i += WG) { sum += partials[i]; }
  sh_sums[local] = sum;
  workgroupBarrier();
  if (local < 16) {
    for (var k = local + 16; k < WG; k += 16) { sum += sh_sums[k]; }
    sh_sums[local] = sum;
  }
  workgroupBarrier();
  if (local == 0) {
    for (var k = local + 1; k < 16; k++) { sum += sh_sums[k]; }
    let length = sqrt(sum);
    norm[0] = length;
    factor[0] = min(1.0, maximum[0] / (length + 1e-6));
  }
}
