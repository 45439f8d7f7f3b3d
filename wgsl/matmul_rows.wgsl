// matmul_rows.wgsl: matrix product of few rows with a transposed matrix, as in classifier heads and squeeze-excitation.
//
//   y[m,n] = bias[n] + sum over k of a[m,k] * b[n,k]
//
// a, b, y   [M, K], [N, K], [M, N] f32, contiguous; M follows from the size of y         bias  [N], read when BIAS = 1
// method    a workgroup takes column n of TM rows: its threads share out k, then add up in a tree
// grid      [N, ceil(M / TM), 1]
// numerics  f32; a fixed tree over the threads
// source    own work
// used by src/kernels/matmulRun.ts
const WG: u32 = 64;     // threads per workgroup
const TM: u32 = 8;      // rows per workgroup
const N: u32 = 8;
const K: u32 = 64;
const BIAS: u32 = 0;
const_assert (WG & (WG - 1)) == 0;   // the tree halves WG

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sh_sums: array<f32, WG * TM>;   // [WG, TM]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  let rows = arrayLength(&y) / N;
  let n = id.x;
  let m0 = id.y * TM;
  var sums: array<f32, TM>;
  for (var k = local; k < K; k += WG) {
    let weight = b[n * K + k];
    for (var r = 0u; r < TM; r++) {
      sums[r] = fma(weight, a[min(m0 + r, rows - 1) * K + k], sums[r]);
    }
  }
  for (var r = 0u; r < TM; r++) { sh_sums[local * TM + r] = sums[r]; }
  for (var half = WG / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) {
      for (var r = 0u; r < TM; r++) { sh_sums[local * TM + r] += sh_sums[(local + half) * TM + r]; }
    }
  }
  workgroupBarrier();
  if (local < TM && m0 + local < rows) {
    y[(m0 + local) * N + n] = sh_sums[local] + select(0.0, bias[BIAS * n], BIAS == 1);
  }
}
