// grad_norm.wgsl: adds the squares of up to six gradients to partial sums of squares.
//
//   after[w] = before[w] + sum of g[i]^2 over what workgroup w strides over, g0 first, then g1 ... g5
//
// g0 ... g5 f32, any sizes; COUNT are there, the others are bound to anything and not read
// before, after   [groups] f32   sums of the launches so far; `before` is not read when FRESH
// grid      any number of workgroups, the same in all launches of one norm; always the same order of additions
// numerics  f32; always the same order of additions
// source    PyTorch, `clip_grad_norm_`
// used by src/nn/optim/clip.ts

const WG: u32 = 256;       // threads per workgroup
const COUNT: u32 = 6;      // gradients bound
const FRESH: bool = true;
const_assert WG == 256;    // two rounds of 16 sum a workgroup

@group(0) @binding(0) var<storage, read> g0: array<f32>;
@group(0) @binding(1) var<storage, read> g1: array<f32>;
@group(0) @binding(2) var<storage, read> g2: array<f32>;
@group(0) @binding(3) var<storage, read> g3: array<f32>;
@group(0) @binding(4) var<storage, read> g4: array<f32>;
@group(0) @binding(5) var<storage, read> g5: array<f32>;
@group(0) @binding(6) var<storage, read> before: array<f32>;
@group(0) @binding(7) var<storage, read_write> after: array<f32>;

var<workgroup> sh_sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let start = group.x * WG + local;
  let stride = groups.x * WG;
  var sum = 0.0;
  for (var i = start; i < arrayLength(&g0); i += stride) { sum += g0[i] * g0[i]; }
  if (COUNT > 1) { for (var i = start; i < arrayLength(&g1); i += stride) { sum += g1[i] * g1[i]; } }
  if (COUNT > 2) { for (var i = start; i < arrayLength(&g2); i += stride) { sum += g2[i] * g2[i]; } }
  if (COUNT > 3) { for (var i = start; i < arrayLength(&g3); i += stride) { sum += g3[i] * g3[i]; } }
  if (COUNT > 4) { for (var i = start; i < arrayLength(&g4); i += stride) { sum += g4[i] * g4[i]; } }
  if (COUNT > 5) { for (var i = start; i < arrayLength(&g5); i += stride) { sum += g5[i] * g5[i]; } }
  sh_sums[local] = sum;
  workgroupBarrier();
  if (local < 16) {
    for (var k = local + 16; k < WG; k += 16) { sum += sh_sums[k]; }
    sh_sums[local] = sum;
  }
  workgroupBarrier();
  if (local == 0) {
    for (var k = local + 1; k < 16; k++) { sum += sh_sums[k]; }
    if (!FRESH) { sum += before[group.x]; }
    after[group.x] = sum;
  }
}
