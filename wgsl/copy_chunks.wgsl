// copy_chunks.wgsl: one chunk of every row of x, copied into a chunk of every row of y.
//
//   y[row, Y_START + j] = x[row, X_START + j]      j < CHUNK
//
// x         [rows, X_ROW] T     y  [rows, Y_ROW] T; what lies outside the chunk keeps its values
// T         a scalar, or a vector of four where CHUNK and both starts and rows divide by four (all counted in T)
// grid      linear over rows * CHUNK, folded at 65,535 workgroups
// numerics  exact: values are only moved
// source    own work
// used by src/kernels/layout.ts: slices, and concatenation of more than two tensors
alias T = f32;
const X_ROW: u32 = 8;
const X_START: u32 = 0;
const Y_ROW: u32 = 4;
const Y_START: u32 = 0;
const CHUNK: u32 = 4;
const WG: u32 = 64;   // threads per workgroup
const_assert X_START + CHUNK <= X_ROW && Y_START + CHUNK <= Y_ROW;

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&x) / X_ROW * CHUNK) { return; }
  let row = i / CHUNK;
  let j = i % CHUNK;
  y[row * Y_ROW + Y_START + j] = x[row * X_ROW + X_START + j];
}
