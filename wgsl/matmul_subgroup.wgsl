// matmul_subgroup.wgsl: matrix product for adapters where a load costs far more than a multiply-add.
//
//   y[z,m,n] = bias[n] + sum over k of a[z,m,k] * b[z,k,n]
//
// a, b, y, z, bias   as in matmul.wgsl
// method    lanes hold output columns; a subgroup computes RM rows x RN * SG columns. SG values of each row of a are
//           loaded by one instruction and spread by subgroupBroadcast.
// grid      [tiles, folded over x and y] x [BATCH]
// numerics  f32; the products of an output are added by one thread in one order
// source    own work
// used by src/kernels/matmulRun.ts on software adapters
enable subgroups;

const SG: u32 = 8;           // lanes of a subgroup
const RM: u32 = 8;
const RN: u32 = 4;           // column vectors, at most 4
const N: u32 = 64;
const BATCH: u32 = 1;
const A_MATRICES: u32 = 1;   // matrices stored in a
const AM: u32 = 64;
const AK: u32 = 1;
const BK: u32 = 64;
const BN: u32 = 1;
const Z1: u32 = 1;
const Z2: u32 = 1;
const A0: u32 = 0;
const A1: u32 = 0;
const A2: u32 = 0;
const B0: u32 = 0;
const B1: u32 = 0;
const B2: u32 = 0;
const BIAS: u32 = 0;

const TILES_N: u32 = (N + RN * SG - 1) / (RN * SG);
const_assert (SG == 4 || SG == 8) && RN <= 4;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Row k of the columns of this lane; what lies past RN is never stored, so compilers drop it.
fn weights(column: vec4u, k: u32) -> vec4f {
  let at = column + k * BK;
  var w = vec4f(b[at.x]);
  if (RN > 1) { w.y = b[at.y]; }
  if (RN > 2) { w.z = b[at.z]; }
  if (RN > 3) { w.w = b[at.w]; }
  return w;
}

@compute @workgroup_size(SG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(subgroup_invocation_id) lane: u32) {
  let rows = arrayLength(&y) / (BATCH * N);
  let depth = arrayLength(&a) / (A_MATRICES * rows);
  let tile = id.y * groups.x + id.x;
  let m0 = tile / TILES_N * RM;
  let n0 = tile % TILES_N * (RN * SG) + lane;
  let z = vec3u(id.z / (Z1 * Z2), id.z / Z2 % Z1, id.z % Z2);

  // Rows and columns past the end repeat the last one and are not written.
  var row: array<u32, RM>;
  for (var r = 0u; r < RM; r++) { row[r] = z.x * A0 + z.y * A1 + z.z * A2 + min(m0 + r, rows - 1) * AM; }  // @unroll
  let column = z.x * B0 + z.y * B1 + z.z * B2 + min(n0 + vec4u(0, 1, 2, 3) * SG, vec4u(N - 1)) * BN;

  var sums: array<vec4f, RM>;
  let whole = depth / SG * SG;
  for (var k = 0u; k < whole; k += SG) {
    var values: array<f32, RM>;
    for (var r = 0u; r < RM; r++) { values[r] = a[row[r] + (k + lane) * AK]; }  // @unroll
    // NOTE: written out because the lane must be a constant, and drivers give up on a loop around all this.
    let w0 = weights(column, k);
    for (var r = 0u; r < RM; r++) { sums[r] = fma(vec4f(subgroupBroadcast(values[r], 0)), w0, sums[r]); }  // @unroll
    let w1 = weights(column, k + 1);
    for (var r = 0u; r < RM; r++) { sums[r] = fma(vec4f(subgroupBroadcast(values[r], 1)), w1, sums[r]); }  // @unroll
    let w2 = weights(column, k + 2);
    for (var r = 0u; r < RM; r++) { sums[r] = fma(vec4f(subgroupBroadcast(values[r], 2)), w2, sums[r]); }  // @unroll
    let w3 = weights(column, k + 3);
    for (var r = 0u; r < RM; r++) { sums[r] = fma(vec4f(subgroupBroadcast(values[r], 3)), w3, sums[r]); }  // @unroll
    if (SG == 4) { continue; }
    let w4 = weights(column, k + 4);
    for (var r = 0u; r < RM; r++) { sums[r] = fma(vec4f(subgroupBroadcast(values[r], 4)), w4, sums[r]); }  // @unroll
    let w5 = weights(column, k + 5);
    for (var r = 0u; r < RM; r++) { sums[r] = fma(vec4f(subgroupBroadcast(values[r], 5)), w5, sums[r]); }  // @unroll
    let w6 = weights(column, k + 6);
    for (var r = 0u; r < RM; r++) { sums[r] = fma(vec4f(subgroupBroadcast(values[r], 6)), w6, sums[r]); }  // @unroll
    let w7 = weights(column, k + 7);
    for (var r = 0u; r < RM; r++) { sums[r] = fma(vec4f(subgroupBroadcast(values[r], 7)), w7, sums[r]); }  // @unroll
  }
  for (var k = whole; k < depth; k++) {
    let w = weights(column, k);
    for (var r = 0u; r < RM; r++) { sums[r] = fma(vec4f(a[row[r] + k * AK]), w, sums[r]); }  // @unroll
  }

  var shift: vec4f;
  for (var c = 0u; c < RN; c++) { shift[c] = select(0.0, bias[BIAS * min(n0 + c * SG, N - 1)], BIAS == 1); }  // @unroll
  // Little code: a loop that stays one, its bound being no constant, stores the first row and moves the others up.
  let end = min(m0 + RM, rows);
  for (var m = m0; m < end; m++) {
    for (var c = 0u; c < RN; c++) {  // @unroll
      let n = n0 + c * SG;
      if (n < N) { y[(id.z * rows + m) * N + n] = sums[0][c] + shift[c]; }
    }
    for (var r = 0u; r < RM - 1; r++) { sums[r] = sums[r + 1]; }  // @unroll
  }
}
