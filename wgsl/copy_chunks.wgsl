// copy_chunks.wgsl: one chunk of every row of x, copied into a chunk of every row of y.
//
//   y[row, y_start + j] = x[row, x_start + j]      j < chunk
//
// x         [rows, x_row] T     y  [rows, y_row] T; what lies outside the chunk keeps its values
// T         a scalar, or a vector of four where chunk and both starts and rows divide by four (all counted in T)
// grid      [steps of ACROSS along a chunk] x [rows / (WG / ACROSS), folded over y and z]; threads go on where the first
//           axis ends. Places need no division, which is dear by numbers that are not constant
// numerics  exact: values are only moved
// source    own work
// used by src/kernels/layout.ts: slices, and concatenation of more than two tensors
alias T = f32;
const ACROSS: u32 = 64;   // threads along a chunk
const WG: u32 = 64;       // threads per workgroup

struct Chunks {
  rows: u32,
  x_row: u32, x_start: u32,
  y_row: u32, y_start: u32,
  chunk: u32,
}

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
var<immediate> s: Chunks;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let row = (id.z * groups.y + id.y) * (WG / ACROSS) + local / ACROSS;
  if (row >= s.rows) { return; }
  let source = row * s.x_row + s.x_start;
  let place = row * s.y_row + s.y_start;
  for (var j = id.x * ACROSS + local % ACROSS; j < s.chunk; j += groups.x * ACROSS) {
    y[place + j] = x[source + j];
  }
}
