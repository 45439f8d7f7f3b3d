// loss_finish.wgsl: one number from the partial sums that the workgroups of a loss kernel left.
//
//   total = sum of partials;   y = total.x (MODE 1, sum),  total.x / total.y (MODE 2, mean),
//   (total.z / total.y) * (total.w / total.y) (MODE 3, product of two means);  0 where the sums are
//
// partials  [groups] vec4 f32   (sum of losses, their count or weight, two more sums)
// total     [4] f32             kept for the gradient            y   [1] f32
// grid      one workgroup; always the same order of additions
// numerics  f32; divisors are at least 1e-30
// source    own work
// used by src/kernels/loss/reduction.ts

const WG: u32 = 256;       // threads per workgroup
const MODE: u32 = 2;
const_assert WG == 256;    // two rounds of 16 sum a workgroup

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> sh_sums: array<vec4f, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) local: u32) {
  var sum = vec4f();
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
    let count = max(sum.y, 1e-30);
    switch MODE {
      case 1: { y[0] = sum.x; }
      case 2: { y[0] = sum.x / count; }
      default: { y[0] = (sum.z / count) * (sum.w / count); }
    }
    total[0] = sum.x;
    total[1] = sum.y;
    total[2] = sum.z;
    total[3] = sum.w;
  }
}
